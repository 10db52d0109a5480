#!/bin/bash
# A rollout as scripts around Compose do it: twice the replicas, wait until the new ones are healthy, stop the old ones.
# docker-rollout has an option to let a container fail its health check some seconds before it is stopped; DRAIN is that
# time, but nothing tells nginx, which goes on asking the old ones until they refuse.
set -eu
cd /root/plain
old=$(docker compose ps -q web)
docker compose pull -q web
docker compose up -d --quiet-pull --no-recreate --scale web=$(($(wc -w <<<"$old") * 2)) web
for container in $(docker compose ps -q web | grep -vxF "$old"); do
  for _attempt in $(seq 120); do
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$container")" = healthy ] && break
    sleep 0.5
  done
  [ "$(docker inspect -f '{{.State.Health.Status}}' "$container")" = healthy ]
done
sleep "${DRAIN:-0}"
docker stop $old >/dev/null
docker rm $old >/dev/null
