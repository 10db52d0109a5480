#!/bin/sh
# The containers of the proof. Run again, it makes them anew at the same addresses.
set -eu
docker image inspect proof/python >/dev/null 2>&1 || tar -C / -c bin lib lib64 | docker import - proof/python >/dev/null
network() {
    name=$1
    docker network inspect "$name" >/dev/null 2>&1 || {
        shift
        docker network create --ipv6 "$@" "$name" >/dev/null
    }
}
network bridged --subnet 198.18.1.0/24 --subnet fd00:d0c:1::/64
network named --subnet 198.18.2.0/24 --subnet fd00:d0c:2::/64 -o com.docker.network.bridge.name=shop0
server() {
    name=$1
    ports=$2
    shift 2
    docker rm -f "$name" >/dev/null 2>&1 || true
    # shellcheck disable=SC2086
    docker run -d --restart always --name "$name" -v /usr:/usr:ro -v /opt/proof:/opt/proof:ro "$@" proof/python \
        /usr/bin/python3 /opt/proof/echo.py "$name" $ports >/dev/null
}
server declared "8080 7000" --network bridged --ip 198.18.1.10 --ip6 fd00:d0c:1::10 -p 8080:8080 -p 8080:8080/udp
server same "8080" --network bridged --ip 198.18.1.11 --ip6 fd00:d0c:1::11 -p 9999:8080 -p 9999:8080/udp \
    -p 127.0.0.1:7777:8080 -p 127.0.0.1:7777:8080/udp
server named "8080" --network named --ip 198.18.2.10 --ip6 fd00:d0c:2::10 -p 9998:8080 -p 9998:8080/udp
server default "8080" -p 9997:8080 -p 9997:8080/udp
server hostnet "8100 8200" --network host
