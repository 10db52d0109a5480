#!/bin/sh
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends \
  curl openssl nmap apache2-utils ssh-audit openssh-client netcat-openbsd bind9-dnsutils iputils-ping >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/*
mkdir -p /etc/ssl/lab
