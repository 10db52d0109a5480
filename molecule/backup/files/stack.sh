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
server="mariadbd --no-defaults --user=root --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --log-bin=0"
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
start cache scenario/redis redis-server --save ''
start application -v fleet_uploads:/data --stop-timeout 1 scenario/stack sh -c 'while :; do sleep 1; done'

seconds=0
until [ "$(docker inspect --format '{{.State.Health.Status}}' fleet-database-1)" = healthy ]; do
    [ "$seconds" -lt 120 ] || { docker logs fleet-database-1; exit 1; }
    sleep 1
    seconds=$((seconds + 1))
done

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
