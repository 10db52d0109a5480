"""pyinfra's command, which counts the commands and uploads that it sends to a host."""

from __future__ import annotations

import os

from paramiko import Channel, SFTPClient
from pyinfra_cli.main import cli


def counted(method):  # type: ignore[no-untyped-def]
    def wrapper(*arguments, **options):  # type: ignore[no-untyped-def]
        with open(os.environ["CALLS_FILE"], "a", encoding="utf-8") as calls:
            calls.write(f"{method.__name__}\n")
        return method(*arguments, **options)

    return wrapper


if __name__ == "__main__":
    Channel.exec_command = counted(Channel.exec_command)
    SFTPClient.putfo = counted(SFTPClient.putfo)
    cli()
