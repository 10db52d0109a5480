#!/bin/sh
set -eu
export DEBIAN_FRONTEND=noninteractive

# Packages must not start their services while the image is built.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 0755 /usr/sbin/policy-rc.d

apt-get update -qq
apt-get install -y -qq --no-install-recommends \
  systemd-sysv systemd-timesyncd dbus libpam-systemd openssh-server sudo python3 iproute2 ca-certificates procps >/dev/null
rm -f /usr/local/share/ca-certificates/README
update-ca-certificates >/dev/null 2>&1

# What a container cannot do: kernel modules, consoles, devices.
systemctl mask -q systemd-modules-load.service systemd-udevd.service systemd-udev-trigger.service \
  getty.target console-getty.service systemd-logind-varlink.socket 2>/dev/null || true
systemctl set-default -q multi-user.target

# Kernel settings outside the network belong to the machine: a host that boots must not change them for all others.
for file in /usr/lib/sysctl.d/*.conf; do
  grep -E '^[[:space:]]*-?net[./]' "$file" > "/etc/sysctl.d/${file##*/}" || true
done

# One user as on a fresh server: key only (the lab copies it in), sudo without a password.
getent group 1000 >/dev/null || groupadd --gid 1000 lab
useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash operator
printf 'operator ALL=(ALL) NOPASSWD: ALL\n' > /etc/sudoers.d/operator
chmod 0440 /etc/sudoers.d/operator

# Each host makes its own keys at its first boot.
rm -f /etc/ssh/ssh_host_*
install -m 0644 /tmp/build/host-keys.service /etc/systemd/system/host-keys.service
systemctl enable -q host-keys.service
rm -f /etc/machine-id /var/lib/dbus/machine-id
: > /etc/machine-id

apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d
