#!/bin/sh
# As the image that it stands for: a file that is there is used, else one is made of the environment.
set -eu
directory=/etc/pgbouncer
users="${AUTH_FILE:-$directory/userlist.txt}"
[ -e "$users" ] || : > "$users"
if [ -n "${DB_USER:-}" ] && [ -n "${DB_PASSWORD:-}" ] && ! grep -q "^\"$DB_USER\"" "$users"; then
  case "${AUTH_TYPE:-md5}" in
    plain | scram-sha-256) secret="$DB_PASSWORD" ;;
    *) secret="md5$(printf %s "$DB_PASSWORD$DB_USER" | md5sum | cut -d ' ' -f 1)" ;;
  esac
  printf '"%s" "%s"\n' "$DB_USER" "$secret" >> "$users"
fi

setting() { # name value
  if [ -n "$2" ]; then echo "$1 = $2"; fi
}

if [ ! -f "$directory/pgbouncer.ini" ]; then
  {
    echo "[databases]"
    echo "${DB_NAME:-*} = host=${DB_HOST:?set DB_HOST} port=${DB_PORT:-5432} auth_user=${DB_USER:-postgres}"
    echo "[pgbouncer]"
    setting listen_addr "${LISTEN_ADDR:-0.0.0.0}"
    setting listen_port "${LISTEN_PORT:-5432}"
    echo "unix_socket_dir ="
    setting auth_file "$users"
    setting auth_type "${AUTH_TYPE:-md5}"
    setting admin_users "${ADMIN_USERS:-postgres}"
    setting ignore_startup_parameters "${IGNORE_STARTUP_PARAMETERS:-extra_float_digits}"
    setting pool_mode "${POOL_MODE:-}"
    setting max_client_conn "${MAX_CLIENT_CONN:-}"
    setting default_pool_size "${DEFAULT_POOL_SIZE:-}"
    setting max_prepared_statements "${MAX_PREPARED_STATEMENTS:-}"
  } > "$directory/pgbouncer.ini"
fi
exec "$@"
