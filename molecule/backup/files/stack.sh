#!/bin/sh
# A stack with a real database, a cache and an application with uploads, labelled as Compose labels it. The image is nearly
# empty: the programs are the host's own packages, mounted read-only, so that nothing has to be downloaded or built.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -qq --no-install-recommends mariadb-server-core mariadb-client redis-server >/dev/null
systemctl disable -q --now redis-server.service

root="$(mktemp -d)"
cd "$root"
mkdir -p etc usr proc sys dev data run tmp var/lib/mysql
chmod 1777 tmp
for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$directory"; done
cat > database.sh <<'SH'
#!/bin/sh
# What an official image's entry point does: initialise an empty volume, then serve.
set -eu
mkdir -p /run/mysqld
server="mariadbd --no-defaults --user=root --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --log-bin=binlog --server-id=1"
client="mariadb --no-defaults --user=root"
if [ ! -d /var/lib/mysql/mysql ]; then
    mariadb-install-db --no-defaults --user=root --datadir=/var/lib/mysql --auth-root-authentication-method=normal >/dev/null
    $server --skip-networking &
    until $client --execute='SELECT 1' >/dev/null 2>&1; do sleep 0.2; done
    $client <<SQL
CREATE DATABASE $MYSQL_DATABASE;
CREATE USER root@'%' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
SQL
    kill $!
    wait $! || true
fi
exec $server
SH
chmod +x database.sh
tar -c . | docker import - scenario/redis
rm -r "$root"

# PostgreSQL in an image of its own, since a restore runs that image without anything of the host's: the programs of the
# package and the libraries that they need.
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
apt-get install -y -qq --no-install-recommends postgresql >/dev/null
programs="$(ls -d /usr/lib/postgresql/*/bin)"
root="$(mktemp -d)"
cd "$root"
mkdir -p proc sys dev run/postgresql tmp etc usr/bin var/lib/postgresql/data
ln -s ../run var/run
for directory in bin sbin lib lib64; do ln -s "usr/$directory" "$directory"; done
mkdir -p usr/lib usr/lib64 usr/sbin
cp -a --parents "${programs%/bin}" "/usr/share/postgresql/$(basename "${programs%/bin}")" /usr/share/zoneinfo .
for program in /usr/bin/dash /usr/bin/cat /usr/bin/cp /usr/bin/id /usr/bin/mkdir /usr/bin/mv /usr/bin/sleep /usr/bin/test; do
    cp --parents -L "$program" .
done
ln -s dash usr/bin/sh
# Compiled queries would need a library of 130 MB.
rm -rf usr/lib/postgresql/*/lib/bitcode usr/lib/postgresql/*/lib/llvmjit*
find . -type f \( -perm -100 -o -name '*.so*' \) -exec ldd {} + 2>/dev/null | sed -n 's/.* => \(\/[^ ]*\).*/\1/p; s/^\t\(\/[^ ]*\) (.*/\1/p' \
    | sort -u | while read -r library; do
    # /lib is a link to /usr/lib, on the host as well.
    mkdir -p "usr/$(dirname "${library#/usr}")"
    cp -L "$library" "usr/${library#/usr}"
done
echo 'root:x:0:0:root:/:/bin/sh' > etc/passwd
getent passwd postgres >> etc/passwd
getent group postgres > etc/group
cat > server.sh <<'SH'
#!/bin/sh
# What the official image's entry point does: initialise an empty volume, then serve.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" | initdb --username=fleet --pwfile=/dev/stdin --auth-local=trust --auth-host=scram-sha-256 >/dev/null
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start >/dev/null
    psql -qXU fleet -d postgres -c 'CREATE DATABASE shop'
    pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
fi
exec postgres
SH
chmod +x server.sh
find . -type d -exec chmod a+rx {} +
chmod 1777 tmp run/postgresql
chown -R postgres:postgres var/lib/postgresql
chmod 700 var/lib/postgresql/data
tar -c . | docker import -c "ENV PATH=$programs:/usr/bin PGDATA=/var/lib/postgresql/data" -c 'USER postgres' \
    -c 'CMD ["/server.sh"]' - scenario/postgres
cd /
rm -r "$root"

start() { # service, options..., command
    service="$1"
    shift
    docker run -d --name "fleet-$service-1" --restart unless-stopped --label com.docker.compose.project=fleet \
        --label "com.docker.compose.service=$service" --label com.docker.compose.oneoff=False \
        -v /usr:/usr:ro -v /etc:/etc:ro "$@" >/dev/null
}

docker tag scenario/redis scenario/stack
start database -e 'MYSQL_ROOT_PASSWORD=a "quoted" $ecret' -e MYSQL_DATABASE=fleetbase -v fleet_mysql:/var/lib/mysql \
    --health-cmd 'MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mariadb-admin --no-defaults --host=127.0.0.1 --user=root ping' \
    --health-interval 1s --health-retries 60 scenario/stack /database.sh
docker run -d --name fleet-postgres-1 --restart unless-stopped --label com.docker.compose.project=fleet \
    --label com.docker.compose.service=postgres --label com.docker.compose.oneoff=False \
    --stop-signal SIGINT -e POSTGRES_USER=fleet -e 'POSTGRES_PASSWORD=a "quoted" $ecret' -v fleet_pg:/var/lib/postgresql/data scenario/postgres >/dev/null
start cache scenario/redis redis-server --save ''
start application -v fleet_uploads:/data --stop-timeout 1 scenario/stack sh -c 'while :; do sleep 1; done'

seconds=0
until [ "$(docker inspect --format '{{.State.Health.Status}}' fleet-database-1)" = healthy ]; do
    [ "$seconds" -lt 120 ] || { docker logs fleet-database-1; exit 1; }
    sleep 1
    seconds=$((seconds + 1))
done

cat > /usr/local/bin/fleet-pg <<'SH'
#!/bin/sh
exec docker exec -i "${2:-fleet-postgres-1}" psql -qXAtU fleet -v ON_ERROR_STOP=1 -d "${1:-shop}"
SH
chmod +x /usr/local/bin/fleet-pg
seconds=0
until echo 'SELECT 1' | fleet-pg >/dev/null 2>&1; do
    [ "$seconds" -lt 120 ] || { docker logs fleet-postgres-1; exit 1; }
    sleep 1
    seconds=$((seconds + 1))
done
fleet-pg <<'SQL'
CREATE TABLE trips (id serial PRIMARY KEY, note text);
CREATE TABLE stops (trip int REFERENCES trips ON DELETE CASCADE);
CREATE VIEW long_trips AS SELECT * FROM trips WHERE id > 900;
INSERT INTO trips (note) SELECT 'trip ' || n FROM generate_series(1, 1000) n;
INSERT INTO stops SELECT n FROM generate_series(1, 1000, 100) n;
SQL
cat > /usr/local/bin/fleet-sql <<'SH'
#!/bin/sh
exec docker exec -i fleet-database-1 sh -c 'MYSQL_PWD="$MYSQL_ROOT_PASSWORD" exec mariadb --no-defaults --user=root --batch --skip-column-names fleetbase'
SH
chmod +x /usr/local/bin/fleet-sql
fleet-sql <<'SQL'
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, status VARCHAR(60), note TEXT, photo BLOB);
CREATE TABLE `odd``name` (g INT, h INT GENERATED ALWAYS AS (g + 1) STORED);
CREATE TABLE empty_table (i INT);
CREATE VIEW open_orders AS SELECT * FROM orders WHERE status = 'open';
INSERT INTO orders (status, note, photo) VALUES ('open', 'it''s; (a),(b)\nINSERT INTO `x` VALUES (1)', x'00ff27'), (NULL, '\\', '');
INSERT INTO orders (status, note) SELECT 'open', REPEAT('(x),', 20) FROM seq_1_to_5000;
INSERT INTO `odd``name` (g) VALUES (1), (2);
DELIMITER //
CREATE TRIGGER new_order BEFORE INSERT ON orders FOR EACH ROW BEGIN SET NEW.note = COALESCE(NEW.note, ''); END//
CREATE PROCEDURE nothing() BEGIN SELECT 1; END//
SQL
docker exec fleet-application-1 sh -c 'mkdir -p /data/photos && chown 33:33 /data /data/photos && echo hello > /data/photos/a.jpg && chmod 600 /data/photos/a.jpg && chown 33:34 /data/photos/a.jpg'
mkdir -p /etc/slipway/stacks/fleet
echo '{"name": "fleet"}' > /etc/slipway/stacks/fleet/stack.json
echo 'KEY=value' > /etc/slipway/stacks/fleet/environment
