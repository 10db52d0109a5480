#!/bin/sh
# As the official image: options or a file alone mean redis-server, which runs as redis and owns /data.
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then set -- redis-server "$@"; fi
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user redis -exec chown redis '{}' +
  exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
fi
# Debian's server refuses strangers when it has neither password nor bind address; the official one is built not to.
if [ "$*" = redis-server ]; then set -- redis-server --protected-mode no; fi
exec "$@"
