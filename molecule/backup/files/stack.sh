#!/bin/sh
# A stack with real databases, a cache and an application with uploads, labelled as Compose labels it. The images are the
# lab's stand-ins: the real servers, with the official images' paths, tools and environment.
set -eu
cat > /etc/docker/daemon.json <<'JSON'
{"registry-mirrors": ["http://172.30.0.2:5000"], "insecure-registries": ["172.30.0.2:5000"]}
JSON
systemctl restart docker
for image in mariadb:11.8 postgres:17-alpine redis:7.4-alpine; do
    docker pull -q "$image" >/dev/null
done

start() { # service, options..., image, command
    service="$1"
    shift
    docker run -d --name "fleet-$service-1" --restart unless-stopped --label com.docker.compose.project=fleet \
        --label "com.docker.compose.service=$service" --label com.docker.compose.oneoff=False "$@" >/dev/null
}

start database -e 'MARIADB_ROOT_PASSWORD=a "quoted" $ecret' -e MARIADB_DATABASE=fleetbase -v fleet_mysql:/var/lib/mysql \
    mariadb:11.8 --log-bin=binlog --server-id=1 --sync-binlog=1
start postgres -e POSTGRES_USER=fleet -e POSTGRES_DB=shop -e 'POSTGRES_PASSWORD=a "quoted" $ecret' \
    -v fleet_pg:/var/lib/postgresql/data postgres:17-alpine
start cache redis:7.4-alpine redis-server --save ''
# Under its own name: a restore lets caches run on, and knows them by their images.
docker tag redis:7.4-alpine scenario/application
start application -v fleet_uploads:/data --stop-timeout 1 --entrypoint sh scenario/application -c 'while :; do sleep 1; done'

cat > /usr/local/bin/fleet-pg <<'SH'
#!/bin/sh
exec docker exec -i "${2:-fleet-postgres-1}" psql -qXAtU fleet -v ON_ERROR_STOP=1 -d "${1:-shop}"
SH
cat > /usr/local/bin/fleet-sql <<'SH'
#!/bin/sh
exec docker exec -i fleet-database-1 sh -c \
    'MYSQL_PWD="$MARIADB_ROOT_PASSWORD" exec mariadb --user=root --protocol=tcp --host=127.0.0.1 --batch --skip-column-names fleetbase'
SH
chmod +x /usr/local/bin/fleet-pg /usr/local/bin/fleet-sql

# An entry point's first server has no network: what answers over TCP is the one that stays.
ready() { docker exec "$1" sh -c "$2" >/dev/null 2>&1; }
for service in database postgres; do
    seconds=0
    until { [ "$service" = database ] && echo 'SELECT 1' | fleet-sql >/dev/null 2>&1; } \
        || { [ "$service" = postgres ] && ready fleet-postgres-1 'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U fleet -c "SELECT 1" shop'; }; do
        [ "$seconds" -lt 180 ] || { docker logs "fleet-$service-1"; exit 1; }
        sleep 1
        seconds=$((seconds + 1))
    done
done

fleet-pg <<'SQL'
CREATE TABLE trips (id serial PRIMARY KEY, note text);
CREATE TABLE stops (trip int REFERENCES trips ON DELETE CASCADE);
CREATE VIEW long_trips AS SELECT * FROM trips WHERE id > 900;
INSERT INTO trips (note) SELECT 'trip ' || n FROM generate_series(1, 1000) n;
INSERT INTO stops SELECT n FROM generate_series(1, 1000, 100) n;
SQL
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
