# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Compose document (interpolated, keys checked) in one plain form: the model.

Keys keep their Compose names; values take the long form. Durations are seconds, sizes are bytes, `x-slipway` is
`slipway`, and the contents of env files, configs and secrets are inside, so that the model is all a host needs.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import database_images, strategy, values
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import COMPOSE, SWARM, Service
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems, did_you_mean
from ansible_collections.slipway.ops.plugins.module_utils._stack.swarm_rules import SwarmRules

ReadFile = Callable[[str], bytes]

ORDERS = ("start-first", "stop-first")
CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
PULL_POLICIES = ("always", "missing", "if_not_present", "never")
DEFAULT_NETWORK = "default"

_STACK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SERVICE_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/-]*(@sha256:[0-9a-f]{64})?")
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PORT = re.compile(
    r"(?:(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>\d+\.\d+\.\d+\.\d+)):)?"
    r"(?:(?P<published>\d+(?:-\d+)?)?:)?(?P<target>\d+(?:-\d+)?)(?:/(?P<protocol>tcp|udp|sctp))?"
)

_PLAIN_TEXT = (
    "hostname",
    "domainname",
    "working_dir",
    "stop_signal",
    "mac_address",
    "cpuset",
    "cgroup_parent",
    "runtime",
)
_PLAIN_LIST = ("dns", "dns_opt", "dns_search", "tmpfs", "cap_add", "cap_drop", "security_opt", "group_add")
_PLAIN_BOOLEAN = ("init", "read_only", "privileged", "tty", "stdin_open", "oom_kill_disable")
_PLAIN_INTEGER = ("cpu_shares", "oom_score_adj", "mem_swappiness")


class Normalizer:
    """Reads one document. Problems go to the collector; a value that cannot be read is left out."""

    def __init__(
        self,
        document: Mapping[str, Any],
        variables: Mapping[str, str],
        read_file: ReadFile,
        problems: Problems,
        engine: str = COMPOSE,
    ) -> None:
        self.document = document
        self.variables = variables
        self.read_file = read_file
        self.problems = problems
        self.published: dict[tuple[int, str, str], str] = {}
        volumes = document.get("volumes")
        self.volumes: Mapping[str, Any] = volumes if isinstance(volumes, Mapping) else {}
        self.swarm = SwarmRules(problems, self.volumes) if engine == SWARM else None
        self.default = values.mapping(document.get("x-slipway"), "x-slipway", problems)

    def model(self, name: str | None) -> dict[str, Any]:
        section = {
            key: values.mapping(self.document.get(key), key, self.problems)
            for key in ("services", "networks", "volumes", "configs", "secrets")
        }
        if not section["services"] and not self.problems.at("services"):
            self.problems.add("services", "there are none", "a stack needs at least one service")
        self._check_default()
        services = {key: self._service(key, value) for key, value in section["services"].items()}
        strategy.check_together(services, self.problems)
        networks = {key: self._network(f"networks.{key}", value) for key, value in section["networks"].items()}
        if any(DEFAULT_NETWORK in service.get("networks", {}) for service in services.values()):
            networks.setdefault(DEFAULT_NETWORK, {})
        stack = self._name(name)
        if self.swarm:
            self.swarm.names(stack, services)
        return {
            "name": stack,
            "services": services,
            "networks": networks,
            "volumes": {key: self._volume(f"volumes.{key}", value) for key, value in section["volumes"].items()},
            "configs": {key: self._content("configs", key, value) for key, value in section["configs"].items()},
            "secrets": {key: self._content("secrets", key, value) for key, value in section["secrets"].items()},
            "slipway": self._top_extension(),
        }

    def _name(self, name: str | None) -> str:
        chosen = name or self.document.get("name")
        if not chosen:
            self.problems.add("name", "the stack has no name", "set stack_name or write name: at the top of the file")
        elif not isinstance(chosen, str) or not _STACK_NAME.fullmatch(chosen):
            self.problems.add("name", f"{chosen!r} is no stack name", "use a-z, 0-9, - and _, first a letter or digit")
        return str(chosen)

    # Services

    def _service(self, name: str, raw: Any) -> dict[str, Any]:
        path = f"services.{name}"
        if not _SERVICE_NAME.fullmatch(name):
            self.problems.add(path, f"{name!r} is no service name", "use letters, digits, ., - and _")
        if not isinstance(raw, Mapping):
            self.problems.add(path, "is not a mapping", "write image: and the rest below it")
            return {}
        service: dict[str, Any] = {}
        self._image(service, raw, path)
        for key in ("command", "entrypoint"):
            if key in raw:
                words = values.words(raw[key], f"{path}.{key}", self.problems)
                if words is not None:
                    service[key] = words
        for key in _PLAIN_TEXT:
            self._put(service, raw, key, path, values.text)
        for key in _PLAIN_LIST:
            self._put(service, raw, key, path, values.texts)
        for key in _PLAIN_BOOLEAN:
            self._put(service, raw, key, path, values.boolean)
        for key in _PLAIN_INTEGER:
            self._put(service, raw, key, path, values.integer)
        for key in ("user", "userns_mode", "container_name"):
            self._put(service, raw, key, path, values.text)
        for key in ("shm_size", "memswap_limit"):
            self._put(service, raw, key, path, values.size)
        for key in ("cpu_period", "cpu_quota"):
            self._put(service, raw, key, path, self._microseconds)
        self._put(service, raw, "stop_grace_period", path, values.duration)
        self._put(service, raw, "expose", path, self._expose)
        self._put(service, raw, "devices", path, self._devices)
        self._put(service, raw, "device_cgroup_rules", path, values.texts)
        self._put(service, raw, "extra_hosts", path, self._extra_hosts)
        self._put(service, raw, "sysctls", path, self._filled_pairs)
        self._put(service, raw, "storage_opt", path, self._filled_pairs)
        self._put(service, raw, "ulimits", path, self._ulimits)
        self._put(service, raw, "logging", path, self._logging)
        self._put(service, raw, "restart", path, self._restart)
        self._put(service, raw, "healthcheck", path, self._healthcheck)
        self._put(service, raw, "build", path, self._build)
        for key, allowed in (
            ("ipc", ("host", "private", "shareable", "none")),
            ("pid", ("host",)),
            ("uts", ("host",)),
            ("cgroup", ("host", "private")),
            ("network_mode", ("host", "none")),
            ("pull_policy", PULL_POLICIES),
        ):
            if raw.get(key) is not None:
                chosen = values.choice(raw[key], f"{path}.{key}", self.problems, allowed)
                if chosen is not None:
                    service[key] = chosen
        service["environment"] = self._environment(raw, path)
        service["labels"] = self._labels(raw, path)
        service["ports"] = self._ports(raw.get("ports"), f"{path}.ports")
        service["volumes"] = self._mounts(raw.get("volumes"), f"{path}.volumes")
        service["configs"] = self._grants(raw.get("configs"), f"{path}.configs", "configs", "/")
        service["secrets"] = self._grants(raw.get("secrets"), f"{path}.secrets", "secrets", "/run/secrets/")
        service["networks"] = self._service_networks(raw, path)
        service["depends_on"] = self._depends_on(raw.get("depends_on"), f"{path}.depends_on")
        service["deploy"] = self._deploy(service, raw, path)
        service["slipway"] = self._extension(service, raw.get("x-slipway"), f"{path}.x-slipway")
        if self.swarm:
            self.swarm.service(name, service, raw, path)
        own = raw.get("x-slipway")
        service["slipway"].update(
            strategy.policy(
                Service(name, service),
                own if isinstance(own, Mapping) else {},
                self.default,
                SWARM if self.swarm else COMPOSE,
                f"{path}.x-slipway",
                self.problems,
            )
        )
        return service

    def _check_default(self) -> None:
        strategy.check_default(self.default, self.problems)
        self._watch(self.default.get("watch"), "x-slipway.watch", {})

    def _put(
        self, service: dict[str, Any], raw: Mapping[str, Any], key: str, path: str, read: Callable[..., Any]
    ) -> None:
        if raw.get(key) is not None:
            value = read(raw[key], f"{path}.{key}", self.problems)
            if value is not None:
                service[key] = value

    def _image(self, service: dict[str, Any], raw: Mapping[str, Any], path: str) -> None:
        image = raw.get("image")
        if image is None and any(self.problems.at(f"{path}.{key}") for key in ("build", "extends", "provider")):
            return
        if image is None:
            self.problems.add(f"{path}.image", "the service has no image", "write image: name:tag")
        elif not isinstance(image, str) or not _IMAGE.fullmatch(image):
            if not self.problems.at(f"{path}.image"):
                self.problems.add(f"{path}.image", f"{image!r} is no image reference", "write image: name:tag")
        else:
            service["image"] = image

    def _build(self, value: Any, path: str, problems: Problems) -> dict[str, Any]:
        raw = {"context": value} if isinstance(value, str) else values.mapping(value, path, problems)
        context = str(raw.get("context") or ".")
        if "://" in context or context.startswith("git@"):
            problems.add(f"{path}.context", f"{context} is no directory", "check it out on the controller first")
        result: dict[str, Any] = {
            "context": context,
            "dockerfile": str(raw.get("dockerfile") or "Dockerfile"),
            "args": self._arguments(raw.get("args") or {}, f"{path}.args"),
            "labels": self._filled_pairs(raw.get("labels") or {}, f"{path}.labels", problems),
        }
        for key in ("dockerfile_inline", "target", "network"):
            self._put(result, raw, key, path, values.text)
        for key in ("no_cache", "pull"):
            self._put(result, raw, key, path, values.boolean)
        self._put(result, raw, "shm_size", path, values.size)
        self._put(result, raw, "cache_from", path, values.texts)
        self._put(result, raw, "extra_hosts", path, self._extra_hosts)
        platforms = values.texts(raw.get("platforms") or [], f"{path}.platforms", problems)
        if len(platforms) > 1:
            problems.add(f"{path}.platforms", "are several", "name the one that the hosts have")
        if platforms:
            result["platform"] = platforms[0]
        return result

    def _arguments(self, value: Any, path: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, text in values.pairs(value, path, self.problems).items():
            if text is None and key not in self.variables:
                self.problems.add(f"{path}.{key}", f"the variable {key} is not set", f"set {key} in stack_environment")
            found[key] = self.variables.get(key, "") if text is None else text
        return found

    def _microseconds(self, value: Any, path: str, problems: Problems) -> int | None:
        if isinstance(value, str) and not value.lstrip("-").isdigit():
            seconds = values.duration(value, path, problems)
            return None if seconds is None else int(seconds * 1_000_000)
        return values.integer(value, path, problems)

    def _filled_pairs(self, value: Any, path: str, problems: Problems) -> dict[str, str]:
        return {key: child or "" for key, child in values.pairs(value, path, problems).items()}

    def _labels(self, raw: Mapping[str, Any], path: str) -> dict[str, str]:
        labels = self._filled_pairs(raw.get("labels") or {}, f"{path}.labels", self.problems)
        for key in labels:
            if key.startswith(("com.docker.compose.", "ops.slipway.")):
                self.problems.add(f"{path}.labels.{key}", "this label is set by the release", "remove it")
        return labels

    def _environment(self, raw: Mapping[str, Any], path: str) -> dict[str, str]:
        result: dict[str, str] = {}
        entries = raw.get("env_file")
        entries = entries if isinstance(entries, list) else [entries] if entries is not None else []
        for index, entry in enumerate(entries):
            here = f"{path}.env_file[{index}]"
            entry = entry if isinstance(entry, Mapping) else {"path": entry}
            required = values.boolean(entry.get("required", True), f"{here}.required", self.problems)
            if entry.get("path") is None:
                self.problems.add(here, "names no file", "write path: and the file beside the Compose file")
                continue
            content = self._read(str(entry["path"]), here, bool(required))
            if content is not None:
                result.update(self._env_lines(content.decode("utf-8", "replace"), entry.get("format") == "raw", here))
        for key, value in values.pairs(raw.get("environment") or {}, f"{path}.environment", self.problems).items():
            if value is not None:
                result[key] = value
            elif key in self.variables:
                result[key] = self.variables[key]
            elif not self.problems.at(f"{path}.environment.{key}"):
                self.problems.add(
                    f"{path}.environment.{key}",
                    f"has no value and the variable {key} is not set",
                    f"set {key} in stack_environment or write a value",
                )
        return result

    def _env_lines(self, content: str, raw: bool, path: str) -> dict[str, str]:
        result = {}
        for number, line in enumerate(content.splitlines(), 1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            key, equals, value = stripped.partition("=")
            key = key.replace("export ", "", 1).strip()
            if not equals:
                if key in self.variables:
                    result[key] = self.variables[key]
                else:
                    self.problems.add(path, f"line {number} has no value", "write KEY=VALUE")
                continue
            value = value if raw else value.strip()
            if not raw and len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            elif not raw:
                value = re.split(r"\s+#", value)[0]
            result[key] = value
        return result

    def _read(self, file: str, path: str, required: bool = True) -> bytes | None:
        try:
            return self.read_file(file)
        except FileNotFoundError:
            if required:
                self.problems.add(path, f"the file {file} is missing", "its path counts from the Compose file")
        except OSError as error:
            self.problems.add(
                path, f"the file {file} cannot be read: {error.strerror}", "check its path and permissions"
            )
        return None

    def _expose(self, value: Any, path: str, problems: Problems) -> list[str]:
        result = []
        for index, item in enumerate(values.texts(value, path, problems)):
            if re.fullmatch(r"\d+(/(tcp|udp|sctp))?", item):
                result.append(item if "/" in item else f"{item}/tcp")
            else:
                problems.add(f"{path}[{index}]", f"{item!r} is no port", "write for example 8000 or 53/udp")
        return result

    def _devices(self, value: Any, path: str, problems: Problems) -> list[dict[str, str]]:
        result = []
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(item, Mapping):
                source, target, permissions = (str(item.get(key) or "") for key in ("source", "target", "permissions"))
            else:
                text = values.text(item, f"{path}[{index}]", problems) or ""
                source, _colon, rest = text.partition(":")
                target, _colon, permissions = rest.partition(":")
            if not source.startswith("/"):
                problems.add(f"{path}[{index}]", f"{source!r} is no device of the host", "write for example /dev/ttyS0")
            result.append({"source": source, "target": target or source, "permissions": permissions or "rwm"})
        return result

    def _extra_hosts(self, value: Any, path: str, problems: Problems) -> list[str]:
        return [f"{key}:{address}" for key, address in values.pairs(value, path, problems, "=:").items()]

    def _ulimits(self, value: Any, path: str, problems: Problems) -> dict[str, dict[str, int]]:
        result = {}
        for key, limit in values.mapping(value, path, problems).items():
            both = limit if isinstance(limit, Mapping) else {"soft": limit, "hard": limit}
            read = {
                side: values.integer(both.get(side), f"{path}.{key}.{side}", problems, -1) for side in ("soft", "hard")
            }
            result[key] = {side: number for side, number in read.items() if number is not None}
        return result

    def _logging(self, value: Any, path: str, problems: Problems) -> dict[str, Any]:
        raw = values.mapping(value, path, problems)
        return {
            "driver": values.text(raw.get("driver", "json-file"), f"{path}.driver", problems),
            "options": self._filled_pairs(raw.get("options") or {}, f"{path}.options", problems),
        }

    def _restart(self, value: Any, path: str, problems: Problems) -> str | None:
        if value is False:
            return "no"
        if isinstance(value, str) and re.fullmatch(r"no|always|unless-stopped|on-failure(:\d+)?", value):
            return value
        problems.add(path, f"{value!r} is no restart policy", 'give "no", always, unless-stopped or on-failure[:N]')
        return None

    def _healthcheck(self, value: Any, path: str, problems: Problems) -> dict[str, Any]:
        raw = values.mapping(value, path, problems)
        if raw.get("disable") is not None and values.boolean(raw["disable"], f"{path}.disable", problems):
            return {"test": ["NONE"]}
        result: dict[str, Any] = {}
        test = raw.get("test")
        if isinstance(test, str):
            result["test"] = ["CMD-SHELL", test]
        elif isinstance(test, list):
            result["test"] = values.texts(test, f"{path}.test", problems)
            if not result["test"] or result["test"][0] not in ("NONE", "CMD", "CMD-SHELL"):
                problems.add(f"{path}.test", "does not begin with CMD, CMD-SHELL or NONE", "write [CMD, program, ...]")
        elif test is not None:
            problems.add(f"{path}.test", "is not a command", "write a text or [CMD, program, ...]")
        for key in ("interval", "timeout", "start_period", "start_interval"):
            self._put(result, raw, key, path, values.duration)
        if raw.get("retries") is not None:
            retries = values.integer(raw["retries"], f"{path}.retries", problems, 1)
            if retries is not None:
                result["retries"] = retries
        return result

    def _ports(self, value: Any, path: str) -> list[dict[str, Any]]:
        if value is not None and not isinstance(value, list):
            self.problems.add(path, "is not a list", "write - HOST:CONTAINER below it")
            return []
        result: list[dict[str, Any]] = []
        for index, item in enumerate(value or []):
            here = f"{path}[{index}]"
            if isinstance(item, Mapping):
                published, target = str(item.get("published", "")), str(item.get("target", ""))
                protocol, host_ip = str(item.get("protocol", "tcp")), str(item.get("host_ip", ""))
            else:
                match = _PORT.fullmatch(str(item))
                if match is None or isinstance(item, bool):
                    self.problems.add(
                        here, f"{item!r} is no port", "write HOST:CONTAINER, for example 127.0.0.1:8080:80"
                    )
                    continue
                published, target = match["published"] or "", match["target"]
                protocol, host_ip = match["protocol"] or "tcp", match["six"] or match["four"] or ""
            if not published:
                self.problems.add(here, "publishes a port that nobody chose", f"write HOST:{target} or use expose")
                continue
            outside, inside = self._range(published, here), self._range(target, here)
            if outside is None or inside is None:
                continue
            if len(outside) != len(inside):
                self.problems.add(here, f"{published} and {target} differ in length", "give ranges of one length")
                continue
            if protocol not in ("tcp", "udp", "sctp"):
                self.problems.add(f"{here}.protocol", f"{protocol!r} is no protocol", "give tcp, udp or sctp")
                continue
            for number, port in zip(outside, inside):
                self._publish(number, protocol, host_ip, here)
                result.append({"target": port, "published": number, "protocol": protocol, "host_ip": host_ip})
        return result

    def _publish(self, port: int, protocol: str, host_ip: str, path: str) -> None:
        """A port of the host belongs to one service."""
        first = self.published.setdefault((port, protocol, host_ip), path)
        if first != path:
            self.problems.add(path, f"{port} is published already by {first}", "choose another")

    def _range(self, text: str, path: str) -> list[int] | None:
        first, _dash, last = text.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            numbers = list(range(int(first), int(last or first) + 1))
            if numbers and numbers[0] >= 1 and numbers[-1] <= 65535:
                return numbers
        self.problems.add(path, f"{text!r} is no port", "give a number from 1 to 65535 or a range")
        return None

    def _mounts(self, value: Any, path: str) -> list[dict[str, Any]]:
        if value is not None and not isinstance(value, list):
            self.problems.add(path, "is not a list", "write - SOURCE:TARGET below it")
            return []
        result = []
        for index, item in enumerate(value or []):
            here = f"{path}[{index}]"
            mount = self._long_mount(item, here) if isinstance(item, Mapping) else self._short_mount(str(item), here)
            if mount is not None and self._mount_is_right(mount, here):
                result.append(mount)
        return result

    def _short_mount(self, text: str, path: str) -> dict[str, Any] | None:
        parts = text.split(":")
        if len(parts) > 3 or not all(parts):
            self.problems.add(path, f"{text!r} is no volume", "write SOURCE:TARGET or SOURCE:TARGET:ro")
            return None
        source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
        mount: dict[str, Any] = {
            "type": "bind" if source[:1] in ("/", ".", "~") else "volume",
            "source": source,
            "target": target,
            "read_only": False,
        }
        for option in parts[2].split(",") if len(parts) == 3 else []:
            if option in ("ro", "rw"):
                mount["read_only"] = option == "ro"
            elif option == "nocopy":
                mount["nocopy"] = True
            elif option in ("rprivate", "private", "rshared", "shared", "rslave", "slave"):
                mount["propagation"] = option
            elif option not in ("cached", "delegated", "consistent"):
                self.problems.add(path, f"the option {option!r} is not known or not supported", "give ro, rw or nocopy")
        if mount["type"] == "bind":
            mount["create_host_path"] = True
        return mount

    def _long_mount(self, raw: Mapping[str, Any], path: str) -> dict[str, Any] | None:
        kind = values.choice(raw.get("type"), f"{path}.type", self.problems, ("volume", "bind", "tmpfs"))
        if kind is None:
            return None
        mount: dict[str, Any] = {
            "type": kind,
            "source": str(raw.get("source") or ""),
            "target": str(raw.get("target") or ""),
            "read_only": bool(values.boolean(raw.get("read_only", False), f"{path}.read_only", self.problems)),
        }
        volume = values.mapping(raw.get("volume"), f"{path}.volume", self.problems)
        if volume.get("nocopy") is not None:
            mount["nocopy"] = values.boolean(volume["nocopy"], f"{path}.volume.nocopy", self.problems)
        bind = values.mapping(raw.get("bind"), f"{path}.bind", self.problems)
        if kind == "bind":
            # The long form fails on a missing path unless told otherwise, the short form creates it.
            create = values.boolean(bind.get("create_host_path", False), f"{path}.bind.create_host_path", self.problems)
            mount["create_host_path"] = bool(create)
            if bind.get("propagation") is not None:
                mount["propagation"] = str(bind["propagation"])
        memory = values.mapping(raw.get("tmpfs"), f"{path}.tmpfs", self.problems)
        if memory.get("size") is not None:
            mount["size"] = values.size(memory["size"], f"{path}.tmpfs.size", self.problems)
        if memory.get("mode") is not None:
            mount["mode"] = values.file_mode(memory["mode"], f"{path}.tmpfs.mode", self.problems)
        return mount

    def _mount_is_right(self, mount: Mapping[str, Any], path: str) -> bool:
        if not mount["target"].startswith("/"):
            self.problems.add(path, f"the target {mount['target']!r} is no absolute path", "begin it with /")
            return False
        if mount["type"] == "volume" and not mount["source"]:
            self.problems.add(
                path, "a volume without a name loses its data at each release", "name it and list it under volumes"
            )
            return False
        if mount["type"] == "volume" and mount["source"] not in self.volumes:
            self.problems.add(
                path,
                f"{mount['source']!r} is not listed under volumes",
                did_you_mean(mount["source"], map(str, self.volumes)) or "add it to volumes at the top level",
            )
            return False
        if mount["type"] == "bind" and not mount["source"].startswith("/"):
            self.problems.add(
                path,
                f"{mount['source']!r} lies beside the Compose file, not on the host",
                "use configs for files, a named volume for data or an absolute path of the host",
            )
            return False
        return True

    def _grants(self, value: Any, path: str, section: str, directory: str) -> list[dict[str, Any]]:
        result = []
        if value is not None and not isinstance(value, list):
            self.problems.add(path, "is not a list", "write - NAME below it")
            return []
        for index, item in enumerate(value or []):
            here = f"{path}[{index}]"
            raw = item if isinstance(item, Mapping) else {"source": item}
            source = str(raw.get("source") or "")
            target = str(raw.get("target") or source)
            grant: dict[str, Any] = {
                "source": source,
                "target": target if target.startswith("/") else directory + target,
                "mode": 0o444,
            }
            if raw.get("mode") is not None:
                mode = values.file_mode(raw["mode"], f"{here}.mode", self.problems)
                grant["mode"] = 0o444 if mode is None else mode
            for key in ("uid", "gid"):
                if raw.get(key) is not None:
                    number = values.integer(raw[key], f"{here}.{key}", self.problems, 0)
                    if number is not None:
                        grant[key] = number
            known = self.document.get(section)
            if source not in (known if isinstance(known, Mapping) else {}):
                self.problems.add(
                    here,
                    f"{source!r} is not listed under {section}",
                    did_you_mean(source, map(str, known or ())) or f"add it to {section} at the top level",
                )
            result.append(grant)
        return result

    def _service_networks(self, raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        value = raw.get("networks")
        if raw.get("network_mode") is not None:
            if value:
                self.problems.add(f"{path}.network_mode", "excludes networks", "keep one of them")
            return {}
        if value is None:
            return {DEFAULT_NETWORK: {"aliases": []}}
        here = f"{path}.networks"
        entries = dict.fromkeys(values.texts(value, here, self.problems)) if isinstance(value, list) else value
        known = self.document.get("networks")
        known = known if isinstance(known, Mapping) else {}
        result: dict[str, Any] = {}
        for key, settings in values.mapping(entries, here, self.problems).items():
            if key not in known and key != DEFAULT_NETWORK:
                self.problems.add(
                    f"{here}.{key}",
                    "is not listed under networks",
                    did_you_mean(key, map(str, known)) or "add it to networks at the top level",
                )
            settings = values.mapping(settings, f"{here}.{key}", self.problems)
            entry: dict[str, Any] = {"aliases": values.texts(settings.get("aliases") or [], here, self.problems)}
            for option in ("ipv4_address", "ipv6_address"):
                if settings.get(option) is not None:
                    entry[option] = str(settings[option])
            if settings.get("link_local_ips"):
                entry["link_local_ips"] = values.texts(settings["link_local_ips"], here, self.problems)
            if settings.get("priority") is not None:
                entry["priority"] = values.integer(settings["priority"], f"{here}.{key}.priority", self.problems)
            result[key] = entry
        return result

    def _depends_on(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, list):
            value = {name: {"condition": "service_started"} for name in values.texts(value, path, self.problems)}
        known = self.document.get("services")
        known = known if isinstance(known, Mapping) else {}
        result: dict[str, Any] = {}
        for name, raw in values.mapping(value, path, self.problems).items():
            here = f"{path}.{name}"
            raw = values.mapping(raw, here, self.problems)
            required = values.boolean(raw.get("required", True), f"{here}.required", self.problems)
            condition = values.choice(
                raw.get("condition", CONDITIONS[0]), f"{here}.condition", self.problems, CONDITIONS
            )
            if name not in known:
                if required:
                    self.problems.add(
                        here, "there is no such service", did_you_mean(name, map(str, known)) or "remove it or add it"
                    )
                continue
            result[name] = {
                "condition": condition,
                "restart": bool(values.boolean(raw.get("restart", False), f"{here}.restart", self.problems)),
            }
        return result

    def _deploy(self, service: dict[str, Any], raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        here = f"{path}.deploy"
        deploy = values.mapping(raw.get("deploy"), here, self.problems)
        result: dict[str, Any] = {"replicas": self._replicas(raw, deploy, path)}
        result["update_config"] = self._update_config(deploy.get("update_config"), f"{here}.update_config")
        result["resources"] = self._resources(raw, deploy, path)
        policy = deploy.get("restart_policy")
        if policy is not None and not self.swarm:
            restart = self._restart_policy(policy, f"{here}.restart_policy")
            if restart is not None:
                if raw.get("restart") is not None and service.get("restart") != restart:
                    self.problems.add(f"{here}.restart_policy", "says another thing than restart", "keep one of them")
                service["restart"] = restart
        if result["replicas"] > 1:
            fixed = [
                reason
                for reason, found in (
                    ("container_name", service.get("container_name")),
                    # Swarm gives each of them a node of its own.
                    ("ports", service.get("ports") and not self.swarm),
                    ("ipv4_address", self._fixed_address(service)),
                )
                if found
            ]
            if fixed:
                self.problems.add(
                    f"{here}.replicas", f"{result['replicas']} replicas cannot share {fixed[0]}", "use one replica"
                )
        return result

    def _fixed_address(self, service: Mapping[str, Any]) -> bool:
        return any("ipv4_address" in entry or "ipv6_address" in entry for entry in service["networks"].values())

    def _replicas(self, raw: Mapping[str, Any], deploy: Mapping[str, Any], path: str) -> int:
        mode = deploy.get("mode", "replicated")
        values.choice(mode, f"{path}.deploy.mode", self.problems, ("replicated", "global"))
        found = []
        for value, here in ((deploy.get("replicas"), f"{path}.deploy.replicas"), (raw.get("scale"), f"{path}.scale")):
            if value is not None:
                number = values.integer(value, here, self.problems, 0)
                found.append(1 if number is None else number)
        if len(set(found)) > 1:
            self.problems.add(f"{path}.scale", "says another number than deploy.replicas", "keep one of them")
        return found[0] if found and mode != "global" else 1

    def _update_config(self, value: Any, path: str) -> dict[str, Any]:
        raw = values.mapping(value, path, self.problems)
        result: dict[str, Any] = {}
        if raw.get("order") is not None:
            result["order"] = values.choice(raw["order"], f"{path}.order", self.problems, ORDERS)
        if raw.get("monitor") is not None:
            result["monitor"] = values.duration(raw["monitor"], f"{path}.monitor", self.problems)
        if raw.get("failure_action") not in (None, "rollback"):
            self.problems.add(
                f"{path}.failure_action",
                f"{raw['failure_action']!r} is not supported: a failed release returns to the old version",
                "write rollback",
            )
        ratio = raw.get("max_failure_ratio")
        if ratio is not None and values.decimal(ratio, f"{path}.max_failure_ratio", self.problems):
            self.problems.add(f"{path}.max_failure_ratio", "a release accepts no failed replica", "write 0")
        return result

    def _resources(self, raw: Mapping[str, Any], deploy: Mapping[str, Any], path: str) -> dict[str, Any]:
        here = f"{path}.deploy.resources"
        resources = values.mapping(deploy.get("resources"), here, self.problems)
        limits = values.mapping(resources.get("limits"), f"{here}.limits", self.problems)
        reservations = values.mapping(resources.get("reservations"), f"{here}.reservations", self.problems)
        result: dict[str, Any] = {}
        for key, long, long_path, short, read in (
            ("cpus", limits.get("cpus"), f"{here}.limits.cpus", "cpus", values.decimal),
            ("memory", limits.get("memory"), f"{here}.limits.memory", "mem_limit", values.size),
            ("pids", limits.get("pids"), f"{here}.limits.pids", "pids_limit", values.integer),
            (
                "memory_reservation",
                reservations.get("memory"),
                f"{here}.reservations.memory",
                "mem_reservation",
                values.size,
            ),
        ):
            found = [
                read(value, where, self.problems)
                for value, where in ((long, long_path), (raw.get(short), f"{path}.{short}"))
                if value is not None
            ]
            if len(set(found)) > 1:
                self.problems.add(f"{path}.{short}", f"says another value than {long_path}", "keep one of them")
            if found and found[0] is not None:
                result[key] = found[0]
        return result

    def _restart_policy(self, value: Any, path: str) -> str | None:
        raw = values.mapping(value, path, self.problems)
        condition = values.choice(
            raw.get("condition", "any"), f"{path}.condition", self.problems, ("any", "on-failure", "none")
        )
        attempts = raw.get("max_attempts")
        if attempts is not None:
            attempts = values.integer(attempts, f"{path}.max_attempts", self.problems, 0)
            if condition != "on-failure":
                self.problems.add(
                    f"{path}.max_attempts", f"is not counted with condition {condition}", "write condition: on-failure"
                )
        if condition == "on-failure":
            return f"on-failure:{attempts}" if attempts else "on-failure"
        return {"any": "unless-stopped", "none": "no"}.get(condition or "")

    # The extension

    def _extension(self, service: Mapping[str, Any], value: Any, path: str) -> dict[str, Any]:
        raw = values.mapping(value, path, self.problems)
        result: dict[str, Any] = {"backup": True}
        if raw.get("backup") is not None:
            result["backup"] = bool(values.boolean(raw["backup"], f"{path}.backup", self.problems))
        if raw.get("single") is not None:
            result["single"] = bool(values.boolean(raw["single"], f"{path}.single", self.problems))
            if result["single"] and service["deploy"]["replicas"] != 1:
                self.problems.add(f"{path}.single", "the service has several replicas", "set deploy.replicas to 1")
        result["routes"] = self._routes(raw.get("routes"), f"{path}.routes")
        default = self.default.get("watch") if not self.problems.at("x-slipway.watch") else None
        result["watch"] = self._watch(raw.get("watch"), f"{path}.watch", default or {})
        if raw.get("migrate") is not None:
            result["migrate"] = values.words(raw["migrate"], f"{path}.migrate", self.problems)
        commands = raw.get("after_release")
        if commands is not None and not isinstance(commands, list):
            self.problems.add(f"{path}.after_release", "is not a list of commands", "write - [program, argument]")
            commands = None
        result["after_release"] = [
            words
            for words in (
                values.words(command, f"{path}.after_release[{index}]", self.problems)
                for index, command in enumerate(commands or [])
            )
            if words
        ]
        if raw.get("database") is not None:
            result["database"] = self._database(service, raw["database"], f"{path}.database")
        if raw.get("indexes") is not None:
            if "database" not in result:
                self.problems.add(f"{path}.indexes", "belongs to a database", "write database: beside it")
            elif not result["database"]["name"]:
                self.problems.add(f"{path}.database.name", "is missing", "write the name of the indexes' database")
            result["indexes"] = {
                table: {
                    index: values.texts(columns, f"{path}.indexes.{table}.{index}", self.problems)
                    for index, columns in values.mapping(indexes, f"{path}.indexes.{table}", self.problems).items()
                }
                for table, indexes in values.mapping(raw["indexes"], f"{path}.indexes", self.problems).items()
            }
        return result

    def _routes(self, value: Any, path: str) -> list[dict[str, Any]]:
        if value is not None and not isinstance(value, list):
            self.problems.add(path, "is not a list", "write - {host: ..., path: ..., port: ...}")
            return []
        result = []
        for index, item in enumerate(value or []):
            here = f"{path}[{index}]"
            raw = values.mapping(item, here, self.problems)
            host, prefix = str(raw.get("host") or ""), str(raw.get("path") or "/")
            if not _HOST.fullmatch(host) and not self.problems.at(f"{here}.host"):
                self.problems.add(f"{here}.host", f"{host!r} is no host name", "write a name such as www.example.org")
            if not re.fullmatch(r"/[A-Za-z0-9._~/%@:+-]*", prefix):
                self.problems.add(f"{here}.path", f"{prefix!r} is no path", "begin it with / and use plain characters")
            limit = values.size(raw.get("max_body", "1m"), f"{here}.max_body", self.problems) or 0
            result.append(
                {
                    "host": host,
                    "path": prefix,
                    "port": values.integer(raw.get("port"), f"{here}.port", self.problems, 1, 65535) or 0,
                    "websocket": bool(values.boolean(raw.get("websocket", False), f"{here}.websocket", self.problems)),
                    "timeout_seconds": values.duration(raw.get("timeout", "60s"), f"{here}.timeout", self.problems),
                    "requests_per_minute": values.integer(
                        raw.get("requests_per_minute", 0), f"{here}.requests_per_minute", self.problems, 0
                    )
                    or 0,
                    "access_log": bool(
                        values.boolean(raw.get("access_log", True), f"{here}.access_log", self.problems)
                    ),
                    "max_body_mib": -(-limit // 2**20),
                }
            )
        return result

    def _watch(self, value: Any, path: str, default: Mapping[str, Any]) -> dict[str, Any]:
        raw = {**default, **values.mapping(value, path, self.problems)}
        result: dict[str, Any] = {}
        for key, usual in (("error_ratio", 0.05), ("more_errors", 0.02)):
            result[key] = values.decimal(raw.get(key, usual), f"{path}.{key}", self.problems)
            if result[key] is not None and not 0 <= result[key] <= 1:
                self.problems.add(
                    f"{path}.{key}", f"{result[key]:g} is no ratio", f"write {usual:g} for {usual:.0%} of the answers"
                )
        for key, least in (("minimum_errors", 5), ("minimum_answers", 20)):
            result[key] = values.integer(raw.get(key, least), f"{path}.{key}", self.problems, 1)
        result["times_slower"] = values.decimal(raw.get("times_slower", 2), f"{path}.times_slower", self.problems)
        if result["times_slower"] is not None and result["times_slower"] < 1:
            self.problems.add(f"{path}.times_slower", f"{result['times_slower']:g} is below 1", "write 2 for twice")
        if raw.get("p95") is not None:
            result["p95_seconds"] = values.duration(raw["p95"], f"{path}.p95", self.problems)
        return result

    def _database(self, service: Mapping[str, Any], value: Any, path: str) -> dict[str, Any]:
        raw = values.mapping(value, path, self.problems)
        kind = raw.get("kind") or database_images.kind_of(str(service.get("image") or "")) or None
        result: dict[str, Any] = {
            "kind": values.choice(kind, f"{path}.kind", self.problems, database_images.KINDS),
            "name": str(raw.get("name") or ""),
            "user": str(raw.get("user") or ""),
            "password_variable": str(raw.get("password_variable") or ""),
            "dump": bool(values.boolean(raw.get("dump", False), f"{path}.dump", self.problems)),
        }
        if result["dump"] and result["kind"] == "redis":
            self.problems.add(f"{path}.dump", "Redis has no dump beside its snapshot", "remove the key")
        variable = result["password_variable"]
        if variable and not {variable, f"{variable}_FILE"} & set(service["environment"]):
            self.problems.add(
                f"{path}.password_variable",
                f"{variable} is no variable of this service",
                did_you_mean(variable, service["environment"]) or "name one of its environment",
            )
        return result

    def _top_extension(self) -> dict[str, Any]:
        backup = values.mapping(self.default.get("backup"), "x-slipway.backup", self.problems)
        volumes = values.texts(backup.get("volumes") or [], "x-slipway.backup.volumes", self.problems)
        return {"backup": {"volumes": volumes}}

    # Networks, volumes, configs, secrets

    def _network(self, path: str, value: Any) -> dict[str, Any]:
        raw = values.mapping(value, path, self.problems)
        result = self._common(raw, path)
        for key in ("internal", "attachable", "enable_ipv6"):
            self._put(result, raw, key, path, values.boolean)
        ipam = values.mapping(raw.get("ipam"), f"{path}.ipam", self.problems)
        if ipam:
            pools = ipam.get("config")
            result["ipam"] = {
                "driver": str(ipam.get("driver", "default")),
                "options": self._filled_pairs(ipam.get("options") or {}, f"{path}.ipam.options", self.problems),
                "config": [
                    values.mapping(pool, f"{path}.ipam.config[{index}]", self.problems)
                    for index, pool in enumerate(pools if isinstance(pools, list) else [])
                ],
            }
        if self.swarm and not result.get("external"):
            self.swarm.network(result, path)
        elif result.get("driver") == "overlay":
            self.problems.add(f"{path}.driver", "one host has no overlay networks", "remove it")
        return result

    def _volume(self, path: str, value: Any) -> dict[str, Any]:
        return self._common(values.mapping(value, path, self.problems), path)

    def _common(self, raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key in ("name", "driver"):
            self._put(result, raw, key, path, values.text)
        if not isinstance(raw.get("external"), Mapping):
            self._put(result, raw, "external", path, values.boolean)
        for key in ("driver_opts", "labels"):
            if raw.get(key):
                result[key] = self._filled_pairs(raw[key], f"{path}.{key}", self.problems)
        return result

    def _content(self, section: str, key: str, value: Any) -> dict[str, Any]:
        path = f"{section}.{key}"
        raw = values.mapping(value, path, self.problems)
        result = self._read_content(raw, path)
        if self.swarm:
            self.swarm.content(section, result, raw, path)
        return result

    def _read_content(self, raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        given = [key for key in ("content", "file", "environment") if raw.get(key) is not None]
        if len(given) != 1 and self.problems.at(path):
            return {"content": ""}
        if len(given) != 1:
            self.problems.add(path, f"has {len(given)} sources", "give one of file, environment and content")
            return {"content": ""}
        if given == ["content"]:
            return {"content": str(raw["content"])}
        if given == ["environment"]:
            variable = str(raw["environment"])
            if variable not in self.variables:
                self.problems.add(
                    f"{path}.environment", f"the variable {variable} is not set", f"set {variable} in stack_environment"
                )
            return {"content": self.variables.get(variable, "")}
        content = self._read(str(raw["file"]), f"{path}.file") or b""
        try:
            return {"content": content.decode("utf-8")}
        except UnicodeDecodeError:
            return {"content_base64": base64.b64encode(content).decode("ascii")}
