"""The host program, used as a person on the host uses it."""

from __future__ import annotations

from testinfra.host import Host


def test_it_says_what_it_can_do(host: Host) -> None:
    page = host.check_output("slipway --help")
    assert "usage: slipway VERB" in page
    assert "  backup " in page
    assert host.check_output("slipway --version").startswith("slipway 0.")


def test_every_verb_can_be_loaded(host: Host) -> None:
    verbs = [
        line.split()[0]
        for line in host.check_output("slipway --help").split("verbs:\n")[1].split("\n\n")[0].splitlines()
    ]
    assert verbs
    for verb in verbs:
        asked = host.run(f"slipway {verb} --help")
        assert asked.rc in (0, 2, 3), f"{verb}: {asked.stderr}"
        assert "cannot be loaded" not in asked.stderr
        assert "Traceback" not in asked.stderr


def test_a_wrong_word_is_one_line(host: Host) -> None:
    asked = host.run("slipway bakup run")
    assert asked.rc == 2
    assert asked.stderr == "slipway: there is no verb 'bakup'; did you mean 'backup'?\n"


def test_it_reads_no_module_of_the_callers_directory(host: Host) -> None:
    trap = "mkdir -p /tmp/trap && echo 'raise SystemExit(99)' > /tmp/trap/argparse.py"
    assert host.run(f"{trap} && cd /tmp/trap && PYTHONPATH=/tmp/trap slipway backup --help").rc == 0


def test_nobody_but_root_can_change_it(host: Host) -> None:
    program = host.file("/usr/local/bin/slipway")
    assert (program.user, program.group, program.mode) == ("root", "root", 0o755)


def test_its_modules_are_compiled_once_for_all_starts(host: Host) -> None:
    (name,) = host.check_output("ls -A /usr/local/lib/slipway").split()
    made = host.file(f"/usr/local/lib/slipway/{name}")
    assert (made.user, made.group, made.mode) == ("root", "root", 0o644)
    said = host.run("python3 -I -v /usr/local/bin/slipway --version")
    assert f"/usr/local/lib/slipway/{name}/ansible_collections/slipway/ops/" in said.stderr
