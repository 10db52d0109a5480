#!/bin/bash
# The official image's behaviour in short: first start makes the cluster from POSTGRES_* behind a server without network.
set -euo pipefail

fail() { echo "Error: $*" >&2; exit 1; }

from_file() { # VAR or VAR_FILE
  local name="$1" file="$1_FILE"
  if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then fail "both $name and $file are set (but are exclusive)"; fi
  if [ -n "${!file:-}" ]; then export "$name"="$(< "${!file}")"; fi
  unset "$file"
}

make_cluster() {
  from_file POSTGRES_PASSWORD; from_file POSTGRES_USER; from_file POSTGRES_DB; from_file POSTGRES_INITDB_ARGS
  local user="${POSTGRES_USER:-postgres}" database
  database="${POSTGRES_DB:-$user}"
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    fail "Database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD"
  fi
  # shellcheck disable=SC2086
  initdb --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") --auth-local=trust \
    --auth-host="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" ${POSTGRES_INITDB_ARGS:-} >/dev/null
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$PGDATA/pg_hba.conf"
  pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start >/dev/null
  if [ "$database" != postgres ]; then
    psql -v ON_ERROR_STOP=1 --no-psqlrc -q --username="$user" --dbname=postgres --set=db="$database" <<< 'CREATE DATABASE :"db";'
  fi
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) bash "$file" ;;
      *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -q --username="$user" --dbname="$database" -f "$file" ;;
      *.sql.gz) gunzip -c "$file" | psql -v ON_ERROR_STOP=1 --no-psqlrc -q --username="$user" --dbname="$database" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
  echo 'PostgreSQL init process complete; ready for start up.'
}

if [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" = postgres ]; then
  if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chmod 0700 "$PGDATA"
    find "$PGDATA" /run/postgresql \! -user postgres -exec chown postgres '{}' +
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
  fi
  if [ ! -s "$PGDATA/PG_VERSION" ]; then make_cluster; fi
  set -- "$@" -c listen_addresses='*'
fi
exec "$@"
