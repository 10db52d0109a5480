#!/bin/sh
set -eu
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d
apt-get update -qq
optional=$(apt-cache --names-only search '^docker-cli$' | cut -d' ' -f1)
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends docker.io $optional iptables python3-docker nginx >/dev/null
apt-get clean
rm -f /usr/sbin/policy-rc.d
