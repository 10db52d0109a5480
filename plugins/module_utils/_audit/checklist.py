# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the deployment checklist as data: what each says, which check answers it, and how.

The texts are those of the operator's own checklist, so that the report can be laid beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

PRE_DEPLOYMENT = "Pre-Deployment"
DEPLOYMENT = "Deployment"
POST_DEPLOYMENT = "Post-Deployment"
USER_ACCEPTANCE = "User Acceptance"
DISASTER_RECOVERY = "Disaster Recovery"
SECTIONS = (PRE_DEPLOYMENT, DEPLOYMENT, POST_DEPLOYMENT, USER_ACCEPTANCE, DISASTER_RECOVERY)

PEOPLE = "people"


@dataclass(frozen=True)
class Line:
    """One line of the checklist. ``check`` is a key of ``evaluate.CHECKS``."""

    id: str
    section: str
    text: str
    check: str
    how: str


_ENVIRONMENT = "the stack's environment file: there, root's alone, no variable empty or left at an example value"
_CERTIFICATE_FILE = "the files of each host name: there, issued by an authority, not expired, served by this host"
_CERTIFICATE_SERVED = (
    "a handshake from outside with a verified chain, validity left; served one and stored one are the same"
)
_SERVER = "processors, memory and disk against the sizes asked for; the users that must exist"
_DOCKER = "docker.service is active and enabled, and the engine answers"
_CONTAINERS = "every service of the stack has its replicas running and healthy"
_SERVICES = f"{_CONTAINERS}; no unit of the host has failed"

LINES: tuple[Line, ...] = (
    Line("pre-features", PRE_DEPLOYMENT, "All Phase 3 features tested and approved", PEOPLE, "people approve features"),
    Line("pre-environment", PRE_DEPLOYMENT, "Production environment variables configured", "environment", _ENVIRONMENT),
    Line("pre-certificate", PRE_DEPLOYMENT, "SSL certificate obtained", "certificate_file", _CERTIFICATE_FILE),
    Line(
        "pre-backup",
        PRE_DEPLOYMENT,
        "Backup system tested",
        "backup_tested",
        "the newest backup was read back, or one was restored",
    ),
    Line(
        "pre-monitoring",
        PRE_DEPLOYMENT,
        "Monitoring configured",
        "monitoring_configured",
        "the units of the monitoring are installed and enabled",
    ),
    Line(
        "pre-load",
        PRE_DEPLOYMENT,
        "Load testing completed",
        "load",
        "concurrent requests from outside: all answered well and in time (only when asked for)",
    ),
    Line(
        "pre-security",
        PRE_DEPLOYMENT,
        "Security scan completed",
        "security",
        "from outside: open ports, TLS versions, headers; on the host: what sshd permits",
    ),
    Line("deploy-server", DEPLOYMENT, "Server provisioned", "server", _SERVER),
    Line("deploy-docker", DEPLOYMENT, "Docker installed", "docker", _DOCKER),
    Line(
        "deploy-application",
        DEPLOYMENT,
        "Application deployed",
        "application",
        "the last release of the stack's history succeeded, and its containers run",
    ),
    Line(
        "deploy-database",
        DEPLOYMENT,
        "Database migrated",
        "migration",
        "the migration of the last release succeeded",
    ),
    Line(
        "deploy-tls",
        DEPLOYMENT,
        "SSL configured",
        "tls",
        "from outside: TLS 1.2 and 1.3 only, HTTP leads to HTTPS, the security headers are sent",
    ),
    Line(
        "deploy-firewall",
        DEPLOYMENT,
        "Firewall configured",
        "firewall",
        "UFW is enabled and drops by default in the running kernel; from outside only declared ports are open",
    ),
    Line(
        "deploy-backups",
        DEPLOYMENT,
        "Backups scheduled",
        "backup_scheduled",
        "the backup's timer is active, enabled",
    ),
    Line(
        "deploy-monitoring",
        DEPLOYMENT,
        "Monitoring active",
        "monitoring_active",
        "the units of the monitoring are active and did not fail when they last ran",
    ),
    Line(
        "post-health",
        POST_DEPLOYMENT,
        "Health check passing",
        "health",
        "the health page asked from outside: 200, and every part of it well",
    ),
    Line("post-services", POST_DEPLOYMENT, "All services running", "services", _SERVICES),
    Line("post-certificate", POST_DEPLOYMENT, "SSL certificate valid", "certificate_served", _CERTIFICATE_SERVED),
    Line(
        "post-backups",
        POST_DEPLOYMENT,
        "Backups running",
        "backup_running",
        "the last good backup is young enough, and none has failed since",
    ),
    Line(
        "post-alerts",
        POST_DEPLOYMENT,
        "Monitoring alerts working",
        "alerts",
        "a test alert is handed to every receiver",
    ),
    Line(
        "post-performance",
        POST_DEPLOYMENT,
        "Performance targets met",
        "performance",
        "response times from outside: the 95th percentile against the target",
    ),
    Line("post-documentation", POST_DEPLOYMENT, "Documentation updated", PEOPLE, "people write documentation"),
    Line(
        "accept-access",
        USER_ACCEPTANCE,
        "Marine Maroc can access system",
        "access",
        "the start page asked from outside; whether people can log in, they must say",
    ),
    Line("accept-admin", USER_ACCEPTANCE, "Admin account created", PEOPLE, "accounts live in the application"),
    Line("accept-training", USER_ACCEPTANCE, "Training scheduled", PEOPLE, "people schedule training"),
    Line("accept-support", USER_ACCEPTANCE, "Support process documented", PEOPLE, "people document their support"),
    Line("recover-server", DISASTER_RECOVERY, "Provision new server", "server", _SERVER),
    Line("recover-docker", DISASTER_RECOVERY, "Install Docker", "docker", _DOCKER),
    Line(
        "recover-repository",
        DISASTER_RECOVERY,
        "Clone repository",
        "definition",
        "the stack's definition and the host program are on the host; nothing needs to be cloned there",
    ),
    Line(
        "recover-database",
        DISASTER_RECOVERY,
        "Restore database backup",
        "restored_database",
        "the last restore recorded on this host",
    ),
    Line(
        "recover-files",
        DISASTER_RECOVERY,
        "Restore file backup",
        "restored_files",
        "the last restore recorded on this host",
    ),
    Line("recover-environment", DISASTER_RECOVERY, "Configure environment variables", "environment", _ENVIRONMENT),
    Line("recover-services", DISASTER_RECOVERY, "Start Docker services", "containers", _CONTAINERS),
    Line(
        "recover-dns",
        DISASTER_RECOVERY,
        "Update DNS records",
        "dns",
        "every host name, resolved from outside, leads to this host",
    ),
    Line(
        "recover-certificate", DISASTER_RECOVERY, "Install SSL certificate", "certificate_served", _CERTIFICATE_SERVED
    ),
    Line(
        "recover-functions",
        DISASTER_RECOVERY,
        "Test all functionality",
        "functions",
        "every route of the stack asked from outside: answered, without a server error, websockets upgraded",
    ),
    Line(
        "recover-users",
        DISASTER_RECOVERY,
        "Notify users of new IP (if needed)",
        "notify",
        "not needed when the host names lead to this host; people are told by people",
    ),
)
