#!/bin/sh
# Images of one static program: versions 1, 2 and 3, one that is never healthy, one that ends at once, and a store.
set -eu
for tag in 1 2 3 unhealthy ends store; do
    tree=$(mktemp -d)
    mkdir -p "$tree/bin" "$tree/www/cgi-bin" "$tree/tmp" "$tree/data"
    cp /bin/busybox "$tree/bin/busybox"
    for name in sh httpd wget sleep touch cat echo env printf; do ln -s busybox "$tree/bin/$name"; done
    echo "$tag" >"$tree/www/version"
    printf '#!/bin/sh\nsleep 4\nprintf "Content-Type: text/plain\\r\\n\\r\\n%s\\n"\n' "$tag" >"$tree/www/cgi-bin/slow"
    chmod 755 "$tree/www/cgi-bin/slow"
    cat >"$tree/www/cgi-bin/app" <<'APP'
#!/bin/sh
status="200 OK"
case "$BEHAVIOUR" in
    errors) status="500 Error" ;;
    later) [ ! -e /tmp/late ] || status="500 Error" ;;
    slow) sleep 0.5 ;;
esac
printf 'Status: %s\r\nContent-Type: text/plain\r\n\r\n%s\n' "$status" "$(cat /www/version)"
APP
    chmod 755 "$tree/www/cgi-bin/app"
    [ "$tag" = unhealthy ] || echo ok >"$tree/www/health"
    command='["httpd", "-f", "-p", "8000", "-h", "/www"]'
    [ "$tag" != ends ] || command='["sh", "-c", "echo the password is $WEB_PASSWORD; echo cannot start; exit 3"]'
    tar -C "$tree" -c . | docker import -c "CMD $command" - "try/web:$tag" >/dev/null
    rm -rf "$tree"
done
