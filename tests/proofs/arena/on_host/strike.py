"""After where.py: waits until a release comes to a step, and holds it there until it is told what to do.

The release's own journal says where it is. Its process is stopped (SIGSTOP) at the step, so that whoever strikes has
time; then standard input says `kill` or `go on`.
"""

import contextlib
import os
import signal
import sys
import time

wanted, steps, seconds = sys.argv[1], sys.argv[2].split(","), float(sys.argv[3])


def step():
    """Where a living release of this host is, and its process; empty without one."""
    held = lease()
    if not is_here(held):
        return "", 0
    return journal().get("phase", "lease"), int(held["pid"])


end, seen = time.monotonic() + seconds, None
while time.monotonic() < end:
    now = stamp()
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
    time.sleep(PAUSE)
else:
    print("never", 0, flush=True)
