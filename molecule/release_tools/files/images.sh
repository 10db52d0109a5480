#!/bin/sh
# A registry that wants a login, three versions of one static program in it, and signatures for the first two.
set -eu
htpasswd -Bbc /etc/docker/registry/htpasswd me canary-registry >/dev/null 2>&1
systemctl restart docker-registry
for _attempt in $(seq 50); do
    ! echo canary-registry | docker login -u me --password-stdin 127.0.0.1:5000 >/dev/null 2>&1 || break
    sleep 0.2
done
for tag in 1 2 3; do
    tree=$(mktemp -d)
    mkdir -p "$tree/bin" "$tree/www" "$tree/tmp" "$tree/data"
    cp /bin/busybox "$tree/bin/busybox"
    for name in sh httpd wget sleep cat echo env kill; do ln -s busybox "$tree/bin/$name"; done
    echo "$tag" >"$tree/www/version"
    echo ok >"$tree/www/health"
    tar -C "$tree" -c . | docker import -c 'CMD ["httpd", "-f", "-p", "8000", "-h", "/www"]' - "127.0.0.1:5000/try/web:$tag" >/dev/null
    docker push -q "127.0.0.1:5000/try/web:$tag"
    rm -rf "$tree"
done
mkdir -p /root/keys
cd /root/keys
[ -f cosign.key ] || COSIGN_PASSWORD="" cosign generate-key-pair >/dev/null 2>&1
for tag in 1 2; do
    digest=$(docker image inspect -f '{{index .RepoDigests 0}}' "127.0.0.1:5000/try/web:$tag")
    COSIGN_PASSWORD="" cosign sign --key cosign.key --tlog-upload=false --yes "$digest" 2>&1
done
# A release is to fetch them.
for tag in 1 2 3; do docker rmi -f "$(docker image inspect -f '{{.Id}}' "127.0.0.1:5000/try/web:$tag")" >/dev/null; done
