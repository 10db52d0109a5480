#!/bin/sh
# The application with its uploads, its check and the database's password, in an image that has a client.
set -eu
docker rm -f fleet-application-1 >/dev/null
docker run -d --name fleet-application-1 --label com.docker.compose.project=fleet --label com.docker.compose.service=application \
    --label com.docker.compose.oneoff=False -v fleet_uploads:/data -v /etc/fleet-check:/etc/fleet-check:ro \
    -e 'DB_PASSWORD=a "quoted" $ecret' --stop-timeout 1 --entrypoint sh postgres:17-alpine -c 'while :; do sleep 1; done' >/dev/null
