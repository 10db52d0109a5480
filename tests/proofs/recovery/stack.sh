#!/bin/bash
# A stack as Compose would run and label it: stack.sh NAME ENGINE... ; the databases are the lab's stand-ins of the official
# images. NAME-pg, NAME-sql (MariaDB) and NAME-my ask them; NAME-ready waits for them.
set -eu
stack="$1"
shift

start() { # service, options and image..., command
    service="$1"
    shift
    docker inspect "$stack-$service-1" >/dev/null 2>&1 && return
    docker run -d --name "$stack-$service-1" --restart unless-stopped --label "com.docker.compose.project=$stack" \
        --label "com.docker.compose.service=$service" --label com.docker.compose.oneoff=False "$@" >/dev/null
}

for engine; do
    case "$engine" in
    postgresql)
        start postgres ${PUBLISHED:+--publish "$PUBLISHED:5432"} -e POSTGRES_USER=shop -e POSTGRES_PASSWORD=secret-of-shop -v "${stack}_pg:/var/lib/postgresql/data" \
            --stop-timeout 60 postgres:17-alpine
        printf '#!/bin/sh\nexec docker exec -i "${2:-%s-postgres-1}" psql -qXAtU shop -v ON_ERROR_STOP=1 -d "${1:-shop}"\n' \
            "$stack" > "/usr/local/bin/$stack-pg"
        ;;
    mariadb)
        start mariadb -e MYSQL_ROOT_PASSWORD=secret-of-shop -e MYSQL_DATABASE=shop -v "${stack}_maria:/var/lib/mysql" \
            --health-cmd 'healthcheck.sh --connect --innodb_initialized' --health-interval 1s --health-retries 60 \
            mariadb:11.8 mariadbd --log-bin=binlog --server-id=1
        printf '#!/bin/sh\nexec docker exec -i %s-mariadb-1 sh -c %s\n' "$stack" \
            "'MYSQL_PWD=\"\$MYSQL_ROOT_PASSWORD\" exec mariadb --user=root --batch --skip-column-names shop'" \
            > "/usr/local/bin/$stack-sql"
        ;;
    mysql)
        start mysql -e MYSQL_ROOT_PASSWORD=secret-of-shop -e MYSQL_DATABASE=shop -v "${stack}_mysql:/var/lib/mysql" \
            mysql:8.4 mysqld --gtid-mode=ON --enforce-gtid-consistency=ON --server-id=1
        printf '#!/bin/sh\nexec docker exec -i %s-mysql-1 sh -c %s\n' "$stack" \
            "'MYSQL_PWD=\"\$MYSQL_ROOT_PASSWORD\" exec mysql --user=root --batch --skip-column-names shop'" \
            > "/usr/local/bin/$stack-my"
        ;;
    esac
done
start application -v "${stack}_uploads:/data" --stop-timeout 1 --entrypoint sh postgres:17-alpine \
    -c 'while :; do sleep 1; done'
cat > "/usr/local/bin/$stack-ready" <<SH
#!/bin/bash
# Waits until the databases of the stack answer, and are called healthy.
for _ in \$(seq 400); do
    ready=yes
    for ask in /usr/local/bin/$stack-pg /usr/local/bin/$stack-sql /usr/local/bin/$stack-my; do
        [ ! -e "\$ask" ] || echo 'SELECT 1' | "\$ask" >/dev/null 2>&1 || ready=no
    done
    docker ps --all --filter label=com.docker.compose.project=$stack --format '{{.Status}}' | grep -q -e starting -e Exited && ready=no
    [ \$ready = no ] || exit 0
    sleep 0.3
done
echo "$stack does not answer" >&2
exit 1
SH
chmod +x "/usr/local/bin/$stack"-*
"$stack-ready"

for engine; do
    case "$engine" in
    postgresql)
        "$stack-pg" <<SQL
CREATE TABLE IF NOT EXISTS orders (id bigserial PRIMARY KEY, note text);
INSERT INTO orders (note) SELECT md5(n::text) FROM generate_series(1, 20000) n;
SQL
        ;;
    mariadb)
        "$stack-sql" <<SQL
CREATE TABLE IF NOT EXISTS orders (id INT PRIMARY KEY AUTO_INCREMENT, note TEXT);
INSERT INTO orders (note) SELECT MD5(seq) FROM seq_1_to_20000;
SQL
        ;;
    esac
done
docker exec "$stack-application-1" sh -c 'mkdir -p /data/photos && for n in $(seq 200); do echo "photo $n" > /data/photos/$n; done
    head -c 4000000 /dev/urandom > /data/film'
mkdir -p "/etc/slipway/stacks/$stack"
echo "{\"name\": \"$stack\"}" > "/etc/slipway/stacks/$stack/stack.json"
