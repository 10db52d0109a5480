"""Names, addresses and paths of the lab: the one place where they are written."""

from __future__ import annotations

from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
ROOT = LAB.parent.parent
IMAGES = LAB / "images"
STATE = ROOT / ".cache" / "lab"
KNOWN_HOSTS = ROOT / ".cache" / "known_hosts"
KEY = STATE / "id_ed25519"
PEBBLE_ROOT = STATE / "pebble-root.pem"  # what a client trusts: Pebble's root and the directory's authority
PEBBLE_DIRECTORY = STATE / "pebble-ca.pem"  # what an ACME client trusts: the directory's authority alone
S3_FILE = STATE / "s3.json"
DOCKERD_PID = STATE / "dockerd.pid"
WATCH_INSTANCES_BEFORE = STATE / "inotify-instances-before"
WATCH_INSTANCES = 4096
DOCKERD_LOG = STATE / "dockerd.log"
MACHINE_AUTHORITIES = Path("/usr/local/share/ca-certificates")

LABEL = "ops.slipway.lab"
PREFIX = "slipway-lab"
USER = "operator"
SSH_PORTS = (22, 2222)

NETWORK = "slipway-lab"
SUBNET = "172.30.0.0/24"
GATEWAY = "172.30.0.1"
DYNAMIC_RANGE = "172.30.0.128/25"  # what the engine hands out; fixed addresses lie below
PREFIX_V6 = "fd00:51:1b::"
SUBNET_V6 = f"{PREFIX_V6}/64"

SERVICES = "services"
SERVICES_ADDRESS = "172.30.0.2"
SERVICE_NAMES = ("registry.lab", "acme.lab", "s3.lab", "sink.lab", "dns.lab")
PROBE = "probe"
PROBE_ADDRESS = "172.30.0.3"
FLEET = "fleet"
FLEET_ADDRESS = "172.30.0.10"
FLEET_DOMAIN = "fleet.marinemaroc.com"

RESERVED_NAMES = (SERVICES, PROBE)
REGISTRY_PORT = 5000
REGISTRY_PUBLISHED = "127.0.0.1:55000"  # where this machine pushes the stand-in images
DNS_MANAGEMENT_PORT = 8055
ACME_PORT = 14000
ACME_MANAGEMENT_PORT = 15000
S3_PORT = 7480
SINK_PORT = 8025

S3_BUCKET = "marine-maroc-backup"
S3_ACCESS_KEY = "slipwaylab"
S3_SECRET_KEY = "slipway-lab-secret"

RELEASES = ("trixie", "bookworm")
DEFAULT_RELEASE = "trixie"
HUB_TAGS = {"trixie": "debian:13", "bookworm": "debian:12"}
