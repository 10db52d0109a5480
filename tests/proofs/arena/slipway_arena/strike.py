"""Runs on a host: waits until a release comes to a step, and holds it there until it is told what to do.

The release's own journal says where it is. Its process is stopped (SIGSTOP) at the step, so that whoever strikes has
time; then standard input says `kill` or `go on`.
"""

import contextlib
import json
import os
import signal
import sys
import time

stack, wanted, steps, seconds = sys.argv[1], sys.argv[2], sys.argv[3].split(","), float(sys.argv[4])
journal, lease = f"/var/lib/slipway/stacks/{stack}/journal.json", f"/var/lib/slipway/lease/{stack}.json"


def read(path):
    try:
        with open(path) as stream:
            return json.load(stream)
    except (FileNotFoundError, ValueError):
        return {}


def number(path):
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def step():
    """Where a living release is; empty without one."""
    held = read(lease)
    if not held.get("owner") or not os.path.exists(f"/proc/{held['pid']}"):
        return "", 0
    phase = read(journal).get("phase", "lease")
    return phase, int(held["pid"])


end, seen = time.monotonic() + seconds, None
while time.monotonic() < end:
    now = (number(journal), number(lease))
    if now != seen:
        seen = now
        phase, process = step()
        if process and phase in steps and steps.index(phase) >= steps.index(wanted):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
            print(step()[0], process, flush=True)
            word = sys.stdin.readline().strip()
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if word == "kill" else signal.SIGCONT)
            break
    time.sleep(0.0005)
else:
    print("never", 0, flush=True)
