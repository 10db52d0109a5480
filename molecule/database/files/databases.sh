#!/bin/sh
# Two database servers in containers as a stack has them. Their image is nearly empty: the programs are the host's own
# packages, mounted read-only, so that nothing has to be downloaded or built.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends mariadb-server postgresql >/dev/null
systemctl disable -q --now mariadb.service postgresql.service

root="$(mktemp -d)"
cd "$root"
mkdir -p etc usr proc sys dev run/mysqld run/postgresql tmp var/lib/mysql var/lib/postgresql var/log/mysql
chmod 1777 tmp
cp /etc/passwd /etc/group etc
chown mysql run/mysqld var/lib/mysql
chown postgres run/postgresql var/lib/postgresql
for directory in bin sbin lib lib64; do
    ln -s "usr/$directory" "$directory"
done
ln -s ../run var/run
tar -c . | docker import - scenario/database
rm -r "$root"

start() { # service, options..., command
    service="$1"
    shift
    docker run -d --name "shop-$service-1" --label com.docker.compose.project=shop \
        --label "com.docker.compose.service=$service" --label com.docker.compose.oneoff=False \
        -v /usr:/usr:ro -v /etc:/etc:ro "$@"
}

start database -e 'MYSQL_ROOT_PASSWORD=a "quoted" $ecret' --user mysql scenario/database sh -c '
    mariadb-install-db --no-defaults --datadir=/var/lib/mysql --auth-root-authentication-method=normal >/dev/null
    exec mariadbd --no-defaults --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock'
# shellcheck disable=SC2016
start reports -e POSTGRES_PASSWORD=other -e PATH=/usr/lib/postgresql/17/bin:/usr/bin --user postgres scenario/database sh -c '
    echo "$POSTGRES_PASSWORD" > /tmp/password
    initdb --pgdata=/var/lib/postgresql/data --auth=scram-sha-256 --pwfile=/tmp/password >/dev/null
    exec postgres -D /var/lib/postgresql/data'

ready() {
    docker exec shop-database-1 mariadb --no-defaults --user=root --execute='SELECT 1' && docker exec shop-reports-1 pg_isready
}
seconds=0
until ready >/dev/null 2>&1; do
    [ "$seconds" -lt 60 ] || { docker logs shop-database-1; docker logs shop-reports-1; exit 1; }
    sleep 1
    seconds=$((seconds + 1))
done

docker exec -i shop-database-1 mariadb --no-defaults --user=root <<'SQL'
CREATE DATABASE shop;
USE shop;
CREATE TABLE orders (id INT PRIMARY KEY, status VARCHAR(20), driver_id INT, note TEXT,
    KEY by_driver (driver_id, status), KEY ignored (status) IGNORED, FULLTEXT KEY words (note));
CREATE TABLE drivers (id INT PRIMARY KEY);
INSERT INTO orders VALUES (1, 'open', 1, 'x');
ALTER USER root@localhost IDENTIFIED BY 'a "quoted" $ecret';
SQL
docker exec -i -e PGPASSWORD=other shop-reports-1 psql --quiet --username=postgres <<'SQL'
CREATE SCHEMA sales;
CREATE TABLE sales.visits (id INT PRIMARY KEY, page TEXT, seen TIMESTAMP);
SQL
