from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Nginx, ProxyError


class Recorded(Nginx):
    """nginx that only notes what it is asked."""

    def __init__(self, directory: Path, running: bool = True, refuse: bool = False) -> None:
        super().__init__(str(directory), str(directory / "pid"))
        self.running = running
        self.refuse = refuse
        self.asked: list[str] = []

    def _master(self) -> int | None:
        return 1 if self.running else None

    def _run(self, *arguments: str) -> None:
        self.asked.append(" ".join(arguments))
        if self.refuse:
            raise ProxyError("nginx -t: [emerg] no")

    def _workers(self) -> dict[int, str]:
        return {len(self.asked): "nginx: worker process"}


def test_writes_all_tests_and_reloads_once(tmp_path: Path) -> None:
    nginx = Recorded(tmp_path / "new" / "upstreams")
    assert nginx.apply({"a.conf": "A", "b.conf": "B"}) is True
    assert nginx.read(["a.conf", "b.conf", "c.conf"]) == {"a.conf": "A", "b.conf": "B"}
    assert nginx.asked == ["-t -q", "-s reload"]
    assert nginx.apply({"a.conf": "A"}) is False
    assert nginx.asked == ["-t -q", "-s reload"]


def test_without_nginx_only_files_are_written(tmp_path: Path) -> None:
    nginx = Recorded(tmp_path, running=False)
    assert nginx.apply({"a.conf": "A"}) is True
    assert nginx.asked == []


def test_a_refusal_puts_the_old_files_back(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("old")
    nginx = Recorded(tmp_path, refuse=True)
    with pytest.raises(ProxyError, match="the old ones are back: nginx -t"):
        nginx.apply({"a.conf": "new"})
    assert (tmp_path / "a.conf").read_text() == "old"


def test_a_file_without_content_goes(tmp_path: Path) -> None:
    nginx = Recorded(tmp_path)
    nginx.apply({"a.conf": "A", "a.share": "S"})
    assert nginx.apply({"a.conf": "A", "a.share": ""}) is True
    assert nginx.read(["a.conf", "a.share"]) == {"a.conf": "A"}
    assert nginx.apply({"a.conf": "A", "a.share": ""}) is False


def test_a_refusal_takes_a_new_file_away(tmp_path: Path) -> None:
    nginx = Recorded(tmp_path, refuse=True)
    with pytest.raises(ProxyError):
        nginx.apply({"a.share": "S"})
    assert nginx.read(["a.share"]) == {}


def test_draining_is_told_by_the_workers_titles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nginx = Recorded(tmp_path)
    assert not nginx.draining()
    monkeypatch.setattr(nginx, "_workers", lambda: {5: "nginx: worker process is shutting down"})
    assert nginx.draining()


def test_a_reload_is_over_when_the_old_workers_take_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx starts the new workers and tells the old ones a moment later: until then nothing would seem to drain."""
    titles = {False: "nginx: worker process", True: "nginx: worker process is shutting down"}
    both, new = {1: titles[False], 2: titles[False]}, {1: titles[True], 2: titles[False]}
    seen = [{1: titles[False]}, both, new, new]
    nginx = Recorded(tmp_path)
    monkeypatch.setattr(nginx, "_workers", lambda: seen.pop(0))
    nginx.apply({"a.conf": "A"})
    assert len(seen) == 1
