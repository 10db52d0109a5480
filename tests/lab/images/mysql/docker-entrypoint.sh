#!/bin/bash
# The official image's behaviour in short: first start makes the database from MYSQL_* behind a server without network.
set -euo pipefail

say() { echo "[Entrypoint]: $*"; }
fail() { echo "[Entrypoint] [ERROR]: $*" >&2; exit 1; }

from_file() { # VAR or VAR_FILE
  local name="$1" file="$1_FILE"
  if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then fail "both $name and $file are set (but are exclusive)"; fi
  if [ -n "${!file:-}" ]; then export "$name"="$(< "${!file}")"; fi
  unset "$file"
}

quoted() { printf "%s" "$1" | sed "s/[\\\\']/\\\\&/g"; }

make_database() {
  from_file MYSQL_ROOT_PASSWORD; from_file MYSQL_DATABASE; from_file MYSQL_USER; from_file MYSQL_PASSWORD
  if [ -z "${MYSQL_ROOT_PASSWORD:-}${MYSQL_ALLOW_EMPTY_PASSWORD:-}${MYSQL_RANDOM_ROOT_PASSWORD:-}" ]; then
    fail "Database is uninitialized and password option is not specified: set one of MYSQL_ROOT_PASSWORD, MYSQL_ALLOW_EMPTY_PASSWORD, MYSQL_RANDOM_ROOT_PASSWORD"
  fi
  if [ -n "${MYSQL_RANDOM_ROOT_PASSWORD:-}" ]; then
    MYSQL_ROOT_PASSWORD="$(od -An -N18 -tx1 /dev/urandom | tr -d ' \n')"
    say "GENERATED ROOT PASSWORD: $MYSQL_ROOT_PASSWORD"
  fi
  say "Initializing database files"
  mysqld --initialize-insecure
  say "Starting temporary server"
  mysqld --skip-networking --mysqlx=OFF &
  local server=$!
  for _ in $(seq 300); do
    if mysqladmin --user=root ping >/dev/null 2>&1; then break; fi
    kill -0 "$server" 2>/dev/null || fail "the temporary server did not start"
    sleep 0.1
  done
  {
    if [ -n "${MYSQL_DATABASE:-}" ]; then echo "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"; fi
    if [ -n "${MYSQL_USER:-}" ] && [ -n "${MYSQL_PASSWORD:-}" ]; then
      echo "CREATE USER '$(quoted "$MYSQL_USER")'@'%' IDENTIFIED BY '$(quoted "$MYSQL_PASSWORD")';"
      if [ -n "${MYSQL_DATABASE:-}" ]; then
        echo "GRANT ALL ON \`${MYSQL_DATABASE//_/\\_}\`.* TO '$(quoted "$MYSQL_USER")'@'%';"
      fi
    fi
    if [ "${MYSQL_ROOT_HOST:-%}" != localhost ]; then
      echo "CREATE USER 'root'@'$(quoted "${MYSQL_ROOT_HOST:-%}")' IDENTIFIED BY '$(quoted "${MYSQL_ROOT_PASSWORD:-}")';"
      echo "GRANT ALL ON *.* TO 'root'@'$(quoted "${MYSQL_ROOT_HOST:-%}")' WITH GRANT OPTION;"
    fi
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$(quoted "${MYSQL_ROOT_PASSWORD:-}")';"
  } | mysql --user=root
  export MYSQL_PWD="${MYSQL_ROOT_PASSWORD:-}"
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) say "running $file"; bash "$file" ;;
      *.sql) say "running $file"; mysql --user=root ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} < "$file" ;;
      *.sql.gz) say "running $file"; gunzip -c "$file" | mysql --user=root ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} ;;
    esac
  done
  say "Stopping temporary server"
  mysqladmin --user=root shutdown
  wait "$server"
  unset MYSQL_PWD
  say "MySQL init process done. Ready for start up."
}

if [ "${1:0:1}" = - ]; then set -- mysqld "$@"; fi
if [ "$1" = mysqld ]; then
  if [ "$(id -u)" = 0 ]; then
    find /var/lib/mysql /run/mysqld \! -user mysql -exec chown mysql:mysql '{}' +
    exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
  fi
  if [ ! -d /var/lib/mysql/mysql ]; then make_database; fi
fi
exec "$@"
