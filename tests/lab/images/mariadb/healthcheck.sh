#!/bin/bash
# The official image's check in short: as the user that the first start made for it, over the socket, with the tests by name.
set -euo pipefail
client=(mariadb)
if [ -r /var/lib/mysql/.my-healthcheck.cnf ]; then client+=(--defaults-extra-file=/var/lib/mysql/.my-healthcheck.cnf); fi
client+=(--skip-ssl --protocol=socket --batch --skip-column-names)

connect() { [ "$("${client[@]}" -e 'SELECT @@skip_networking')" = 0 ]; }
innodb_initialized() {
  [ "$("${client[@]}" -e "SELECT 1 FROM information_schema.ENGINES WHERE engine = 'innodb' AND support IN ('YES', 'DEFAULT')")" = 1 ]
}

[ $# -gt 0 ] || { echo "At least one argument required" >&2; exit 1; }
for wanted in "$@"; do
  case "$wanted" in
    --su-mysql|--su=*) ;;
    --connect|--innodb_initialized) "${wanted#--}" || { echo "healthcheck ${wanted#--} failed" >&2; exit 1; } ;;
    *) echo "healthcheck unknown option or test '$wanted'" >&2; exit 1 ;;
  esac
done
