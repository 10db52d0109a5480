#!/bin/sh
# What runs of a stack, as JSON: `look.sh STACK FILE ...` gives each container's inspection and these files in it.
stack=$1; shift
ids=$(docker ps -q --no-trunc --filter "label=ops.slipway.stack=$stack")
printf '{"containers": '
if [ -n "$ids" ]; then docker inspect $ids; else printf '[]'; fi
printf ', "files": {'
comma=
for id in $ids; do
    printf '%s"%s": "' "$comma" "$id"; comma=', '
    for file in "$@"; do
        docker exec "$id" sh -c 'test -f "$0" && echo "$(stat -c "%n %a %u %g" "$0") $(base64 "$0" | tr -d "\n")"' "$file" 2>/dev/null |
            sed 's/$/\\n/' | tr -d '\n'
    done
    printf '"'
done
printf '}}\n'
