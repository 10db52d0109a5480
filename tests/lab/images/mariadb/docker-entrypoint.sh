#!/bin/bash
# The official image's behaviour in short: first start makes the database from MARIADB_* (or their MYSQL_* synonyms)
# behind a server without network.
set -euo pipefail
DATA=/var/lib/mysql SOCKET=/run/mysqld/mysqld.sock

say() { echo "[Entrypoint]: $*"; }
fail() { echo "[Entrypoint] [ERROR]: $*" >&2; exit 1; }

from_file() { # VAR or VAR_FILE
  local name="$1" file="$1_FILE"
  if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then fail "Both $name and $file are set (but are exclusive)"; fi
  if [ -n "${!file:-}" ]; then export "$name"="$(< "${!file}")"; fi
  unset "$file"
}

from_synonyms() { # MARIADB_X, or MYSQL_X when that is unset; both are set afterwards
  local maria="MARIADB_$1" mysql="MYSQL_$1"
  from_file "$mysql"; from_file "$maria"
  export "$maria"="${!maria:-${!mysql:-}}"
  export "$mysql"="${!maria}"
}

quoted() { printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g"; }
word() { od -An -N18 -tx1 /dev/urandom | tr -d ' \n'; }

start_temporary() {
  say "Starting temporary server"
  "$@" --skip-networking --expire-logs-days=0 --skip-slave-start --socket="$SOCKET" &
  server=$!
  for _ in $(seq 300); do
    if mariadb-admin --user=root --socket="$SOCKET" ping >/dev/null 2>&1; then return; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  fail "Unable to start server."
}

make_database() {
  if [ -z "$MARIADB_ROOT_PASSWORD$MARIADB_ALLOW_EMPTY_ROOT_PASSWORD$MARIADB_RANDOM_ROOT_PASSWORD" ]; then
    fail "Database is uninitialized and password option is not specified: set one of MARIADB_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD, MARIADB_RANDOM_ROOT_PASSWORD"
  fi
  if [ -n "$MARIADB_RANDOM_ROOT_PASSWORD" ]; then
    MARIADB_ROOT_PASSWORD="$(word)"
    say "GENERATED ROOT PASSWORD: $MARIADB_ROOT_PASSWORD"
  fi
  say "Initializing database files"
  mariadb-install-db --datadir="$DATA" --rpm --auth-root-authentication-method=normal --skip-test-db --cross-bootstrap \
    --skip-log-bin --expire-logs-days=0 >/dev/null
  start_temporary "$@"
  local health
  health="$(word)"
  {
    # As the image: what the first start makes is not in the binary log, but for the database and its user.
    echo "SET @@SESSION.SQL_LOG_BIN=0;"
    echo "DROP USER IF EXISTS root@'127.0.0.1', root@'::1';"
    for host in 127.0.0.1 ::1 localhost; do
      echo "CREATE USER IF NOT EXISTS healthcheck@'$host' IDENTIFIED BY '$health';"
    done
    if [ "${MARIADB_ROOT_HOST:-%}" != localhost ]; then
      echo "CREATE USER 'root'@'$(quoted "${MARIADB_ROOT_HOST:-%}")' IDENTIFIED BY '$(quoted "$MARIADB_ROOT_PASSWORD")';"
      echo "GRANT ALL ON *.* TO 'root'@'$(quoted "${MARIADB_ROOT_HOST:-%}")' WITH GRANT OPTION;"
    fi
    if [ -n "${MARIADB_MYSQL_LOCALHOST_USER:-}" ]; then
      echo "CREATE USER mysql@localhost IDENTIFIED VIA unix_socket;"
      if [ -n "${MARIADB_MYSQL_LOCALHOST_GRANTS:-}" ]; then
        echo "GRANT $MARIADB_MYSQL_LOCALHOST_GRANTS ON *.* TO mysql@localhost;"
      fi
    fi
    echo "SET PASSWORD FOR 'root'@'localhost' = PASSWORD('$(quoted "$MARIADB_ROOT_PASSWORD")');"
    echo "SET @@SESSION.SQL_LOG_BIN=1;"
    if [ -n "$MARIADB_DATABASE" ]; then echo "CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\`;"; fi
    if [ -n "$MARIADB_USER" ] && [ -n "$MARIADB_PASSWORD" ]; then
      echo "CREATE USER '$(quoted "$MARIADB_USER")'@'%' IDENTIFIED BY '$(quoted "$MARIADB_PASSWORD")';"
      if [ -n "$MARIADB_DATABASE" ]; then
        echo "GRANT ALL ON \`${MARIADB_DATABASE//_/\\_}\`.* TO '$(quoted "$MARIADB_USER")'@'%';"
      fi
    fi
  } | mariadb --user=root --socket="$SOCKET"
  (
    umask 0077
    printf '[mariadb-client]\nport=3306\nsocket=%s\nuser=healthcheck\npassword=%s\n' "$SOCKET" "$health" > "$DATA/.my-healthcheck.cnf"
  )
  export MYSQL_PWD="$MARIADB_ROOT_PASSWORD"
  local file client=(mariadb --user=root "--socket=$SOCKET" ${MARIADB_DATABASE:+"$MARIADB_DATABASE"})
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) say "running $file"; bash "$file" ;;
      *.sql) say "running $file"; "${client[@]}" < "$file" ;;
      *.sql.gz) say "running $file"; gunzip -c "$file" | "${client[@]}" ;;
      *.sql.xz) say "running $file"; xzcat "$file" | "${client[@]}" ;;
      *.sql.zst) say "running $file"; zstd -dc "$file" | "${client[@]}" ;;
    esac
  done
  unset MYSQL_PWD
  say "Stopping temporary server"
  kill "$server"
  wait "$server"
  say "MariaDB init process done. Ready for start up."
}

if [ "${1:0:1}" = - ]; then set -- mariadbd "$@"; fi
if [ "$1" = mariadbd ] || [ "$1" = mysqld ]; then
  if [ "$(id -u)" = 0 ]; then
    find "$DATA" /run/mysqld \! -user mysql -exec chown mysql:mysql '{}' +
    exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
  fi
  from_synonyms ROOT_HOST; from_synonyms DATABASE; from_synonyms USER; from_synonyms PASSWORD; from_synonyms ROOT_PASSWORD
  : "${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD:=${MYSQL_ALLOW_EMPTY_PASSWORD:-}}" "${MARIADB_RANDOM_ROOT_PASSWORD:=${MYSQL_RANDOM_ROOT_PASSWORD:-}}"
  if [ ! -d "$DATA/mysql" ]; then make_database "$@"; fi
fi
exec "$@"
