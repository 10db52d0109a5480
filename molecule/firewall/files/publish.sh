#!/bin/sh
# Ports of the host itself (8000, closed, and 8001, open), and where Docker is, published ones: 8080 declared, the others not.
set -eu
systemd-run --unit=web-closed /bin/busybox httpd -f -p 8000 -h /
systemd-run --unit=web-open /bin/busybox httpd -f -p 8001 -h /
if command -v docker >/dev/null; then
    tar -C / -c bin/busybox | docker import - scenario/web >/dev/null
    web() { docker run -d --restart always "$@" >/dev/null; }
    web --name declared -p 8080:80 scenario/web /bin/busybox httpd -f -p 80 -h /
    web --name same-container-port -p 9999:80 scenario/web /bin/busybox httpd -f -p 80 -h /
    # A UDP echo, with the host's own Python: /bin and /lib are links into /usr.
    tar -C / -c bin lib lib64 | docker import - scenario/python >/dev/null
    web --name udp -p 9997:53/udp -v /usr:/usr:ro scenario/python /usr/bin/python3 -c "
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('0.0.0.0', 53))
while True:
    server.sendto(*server.recvfrom(64))
"
    web --name local -p 127.0.0.1:7777:80 scenario/web /bin/busybox httpd -f -p 80 -h /
fi
touch /run/published
