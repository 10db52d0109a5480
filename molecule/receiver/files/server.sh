#!/bin/sh
# A PostgreSQL server as Compose labels it, that other hosts reach, with a role for who receives its log.
set -eu
docker run -d --name fleet-database-1 --restart unless-stopped --publish 5432:5432 --label com.docker.compose.project=fleet \
    --label com.docker.compose.service=database --label com.docker.compose.oneoff=False \
    -e POSTGRES_USER=fleet -e POSTGRES_DB=shop -e POSTGRES_PASSWORD=secret -v fleet_pg:/var/lib/postgresql/data \
    postgres:17-alpine >/dev/null
cat > /usr/local/bin/fleet-pg <<'SH'
#!/bin/sh
exec docker exec -i fleet-database-1 psql -qXAtU fleet -v ON_ERROR_STOP=1 -d shop "$@"
SH
chmod +x /usr/local/bin/fleet-pg
seconds=0
until docker exec fleet-database-1 sh -c 'PGPASSWORD=secret psql -h 127.0.0.1 -U fleet -c "SELECT 1" shop' >/dev/null 2>&1; do
    [ "$seconds" -lt 120 ] || { docker logs fleet-database-1; exit 1; }
    sleep 1
    seconds=$((seconds + 1))
done
fleet-pg -v password="$RECEIVER_PASSWORD" <<'SQL'
CREATE ROLE receiver LOGIN REPLICATION PASSWORD :'password';
GRANT pg_monitor TO receiver;
CREATE TABLE trips (id serial PRIMARY KEY, note text);
INSERT INTO trips (note) SELECT 'trip ' || n FROM generate_series(1, 1000) n;
SQL
docker exec fleet-database-1 sh -c 'echo "host replication receiver all scram-sha-256" >> "$PGDATA/pg_hba.conf"'
echo 'SELECT pg_reload_conf()' | fleet-pg >/dev/null
