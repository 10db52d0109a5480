"""After where.py: tells when the lease is taken and given back, by the machine's monotonic clock."""

import os
import sys
import threading
import time


def end_with_input():
    sys.stdin.read()
    os._exit(0)


seen, held = None, False
threading.Thread(target=end_with_input, daemon=True).start()
while True:
    at, now = time.monotonic(), stamp()
    if now != seen:
        seen = now
        is_held = bool(lease().get("owner"))
        if is_held != held:
            held = is_held
            print("taken" if held else "given back", at, flush=True)
    time.sleep(0.01)
