#!/bin/sh
# The smallest web server as an image, under the same name on every host.
set -eu
tar -C / -c bin/busybox | docker import - scenario/web
touch /run/image-made
