#!/bin/sh
# Makes the object store once, while the image is built: monitor, disk, user and bucket, packed as a seed that a container unpacks at
# its first start. Unpacked it would lie in the image with all the zeros of its disk.
set -eu
wait_for() {
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  echo "gave up waiting for: $*" >&2
  return 1
}
mkdir -p /var/lib/ceph/mon/ceph-lab /var/lib/ceph/osd/ceph-0 /run/ceph
monmaptool --create --fsid 5b1fa7d0-1ab0-4ab0-9ab0-000000000001 --addv lab '[v1:127.0.0.1:6789]' /tmp/monmap >/dev/null
ceph-mon --mkfs -i lab --monmap /tmp/monmap
ceph-mon -i lab -f & monitor=$!
wait_for ceph --connect-timeout 3 status
ceph osd new 5b1fa7d0-1ab0-4ab0-9ab0-0000000000d0 0 >/dev/null
ceph-osd -i 0 --mkfs --osd-uuid 5b1fa7d0-1ab0-4ab0-9ab0-0000000000d0
ceph osd crush add osd.0 1.0 root=default host=lab >/dev/null
ceph-osd -i 0 -f & disk=$!
wait_for sh -c 'ceph osd stat | grep -q "1 up"'
radosgw -n client.rgw.lab -f & gateway=$!
wait_for curl -fsS http://127.0.0.1:7480/
radosgw-admin user create --uid=slipway --display-name='Slipway lab' --access-key="$S3_ACCESS_KEY" --secret-key="$S3_SECRET_KEY" >/dev/null
curl -fsS --aws-sigv4 aws:amz:us-east-1:s3 --user "$S3_ACCESS_KEY:$S3_SECRET_KEY" -X PUT "http://127.0.0.1:7480/$S3_BUCKET"
kill "$gateway"; wait "$gateway" || true
kill "$disk"; wait "$disk" || true
kill "$monitor"; wait "$monitor" || true
tar --sparse -C /var/lib/ceph -cf - mon osd | zstd -q -o /opt/ceph-seed.tar.zst
rm -rf /var/lib/ceph/mon /var/lib/ceph/osd /run/ceph /tmp/monmap
