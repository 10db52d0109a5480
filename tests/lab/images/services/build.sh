#!/bin/sh
set -eu
export DEBIAN_FRONTEND=noninteractive
cd /tmp/build
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get update -qq
apt-get install -y -qq --no-install-recommends \
  docker-registry pebble ceph-mon ceph-osd radosgw ceph-common curl openssl zstd >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d

install -m 0644 registry.yml /etc/docker/registry/config.yml
install -m 0644 ceph.conf /etc/ceph/ceph.conf
install -m 0755 sink.py /usr/local/bin/lab-sink

# The ACME directory speaks TLS too; its certificate comes from an authority of its own, handed out together with Pebble's root.
mkdir -p /etc/lab
cd /etc/lab
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj '/CN=Slipway lab directory authority' \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign \
  -keyout authority-key.pem -out authority.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=acme.lab' -keyout acme-key.pem -out acme.csr 2>/dev/null
printf 'subjectAltName=DNS:acme.lab,DNS:localhost,IP:172.30.0.2,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' > acme.ext
openssl x509 -req -in acme.csr -CA authority.pem -CAkey authority-key.pem -CAcreateserial -days 3650 -extfile acme.ext \
  -out acme.pem 2>/dev/null
rm -f acme.csr acme.ext authority-key.pem
install -m 0644 /tmp/build/pebble.json pebble.json

for unit in /tmp/build/*.service; do
  install -m 0644 "$unit" /etc/systemd/system/
  systemctl enable -q "$(basename "$unit")"
done
systemctl enable -q docker-registry.service
systemctl mask -q ceph.target ceph-mon.target ceph-osd.target ceph-radosgw.target
