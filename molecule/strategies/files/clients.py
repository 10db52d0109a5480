#!/usr/bin/python3
"""Ask the proxy as many clients until the stop file is there: each has an address of its own, testers also a cookie.

Prints what each client got, in its order, without repetitions, and how long nobody got a good answer at the worst.
"""

from __future__ import annotations

import collections
import http.client
import json
import os
import sys
import threading
import time

STOP = "/tmp/clients-stop"
CLIENTS, TESTERS, THREADS = 200, 4, 6
seen: dict[int, list[str]] = collections.defaultdict(list)
answers: collections.Counter[str] = collections.Counter()
good_at = [time.monotonic()]
longest = [0.0]
lock = threading.Lock()


def ask(client: int) -> str:
    source = f"127.1.{client // 100}.{client % 100 + 1}"
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20, source_address=(source, 0))
    try:
        connection.request("GET", "/cgi-bin/app", headers={"Cookie": "tester=yes"} if client < TESTERS else {})
        response = connection.getresponse()
        return f"{response.status} {response.read().decode().strip()[:12]}"
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def worker(first: int) -> None:
    while True:
        for client in range(first, CLIENTS, THREADS):
            if os.path.exists(STOP):
                return
            answer = ask(client)
            now = time.monotonic()
            with lock:
                answers[answer] += 1
                if not seen[client] or seen[client][-1] != answer:
                    seen[client].append(answer)
                if answer.startswith("200"):
                    longest[0] = max(longest[0], now - good_at[0])
                    good_at[0] = now
            time.sleep(0.02)


threads = [threading.Thread(target=worker, args=(first,)) for first in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
people = [seen[client] for client in range(TESTERS, CLIENTS)]
testers = [seen[client] for client in range(TESTERS)]
json.dump({"answers": answers, "people": people, "testers": testers, "gap": longest[0]}, sys.stdout)
