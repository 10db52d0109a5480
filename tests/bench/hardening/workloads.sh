#!/bin/sh
# The stack and the jobs that must go on after hardening: workloads.sh start | check
set -eu
registry_mysql=mysql:8.4
registry_redis=redis:7.4-alpine
user=deploy
runtime="/run/user/$(id -u "$user")"
as_user() { runuser -u "$user" -- env XDG_RUNTIME_DIR="$runtime" "$@"; }

start() {
    docker network create stack > /dev/null
    docker run --detach --name database --network stack --restart unless-stopped \
        --env MYSQL_ROOT_PASSWORD=bench --env MYSQL_DATABASE=bench --volume database:/var/lib/mysql "$registry_mysql" > /dev/null
    docker run --detach --name cache --network stack --restart unless-stopped "$registry_redis" > /dev/null
    printf '* * * * * root date +\\%%s > /var/lib/bench-cron\n' > /etc/cron.d/bench
    loginctl enable-linger "$user"
    home=$(getent passwd "$user" | cut -d: -f6)
    install -d -o "$user" -g "$user" "$home/.config" "$home/.config/systemd" "$home/.config/systemd/user"
    printf '[Service]\nExecStart=sleep infinity\n[Install]\nWantedBy=default.target\n' > "$home/.config/systemd/user/beat.service"
    chown "$user:$user" "$home/.config/systemd/user/beat.service"
    for _ in $(seq 60); do [ -S "$runtime/systemd/private" ] && break; sleep 1; done
    as_user systemctl --user daemon-reload
    as_user systemctl --user enable --now --quiet beat.service
}

query() { docker exec database mysql -uroot -pbench bench "$@" 2> /dev/null; }

tell() {
    name=$1
    shift
    if said=$("$@" 2>&1); then echo "ok|$name|$(echo "$said" | tail -n 1)"; else echo "FAILED|$name|$(echo "$said" | tail -n 1)"; fi
}

database() {
    for _ in $(seq 60); do query -e 'SELECT 1' > /dev/null && break; sleep 2; done
    for number in $(seq 400); do echo "CREATE TABLE IF NOT EXISTS t$number (id INT PRIMARY KEY); REPLACE INTO t$number VALUES (1);"; done |
        docker exec --interactive database mysql -uroot -pbench bench 2> /dev/null
    open=$(query -N -e "SELECT @@open_files_limit")
    rows=$(query -N -e "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'bench'")
    [ "$open" -ge 10000 ] && [ "$rows" -ge 400 ] && echo "$rows tables, may open $open files"
}

egress() {
    archive=$(grep -rhE '^[^#]' /etc/apt | grep -oE 'https?://[^/[:space:]]+' | grep -vE '[0-9]$' | head -n 1 | sed 's|.*//||')
    docker exec cache timeout 15 bash -c "exec 3<>/dev/tcp/$archive/80 && echo connected by name"
}

between() { docker exec database timeout 15 bash -c 'exec 3<>/dev/tcp/cache/6379 && printf "PING\r\n" >&3 && head -c 5 <&3'; }

cron() {
    since=$(date +%s)
    for _ in $(seq 45); do
        [ "$(cat /var/lib/bench-cron 2> /dev/null || echo 0)" -ge "$since" ] && echo "ran at $(cat /var/lib/bench-cron)" && return
        sleep 2
    done
    return 1
}

user_service() { as_user systemctl --user is-active beat.service; }

updates() {
    said=$(unattended-upgrade --dry-run --debug 2>&1) || return 1
    case $(echo "$said" | grep '^Packages that will be upgraded') in *docker* | *containerd* | *runc*) return 1 ;; esac
    echo "$said" | grep -q 'Debian-Security' && echo "$said" | grep '^Initial blacklist'
}

limits() { systemctl show --property=LimitNOFILE docker.service; docker exec cache bash -c 'ulimit -n'; }

case "${1:-check}" in
    start) start ;;
    check)
        tell "containers reach the world by name" egress
        tell "containers reach each other by name" between
        tell "a database with many files" database
        tell "files that a container may open" limits
        tell "security updates leave the engine alone" updates
        tell "cron" cron
        tell "a user's service" user_service
        ;;
esac
