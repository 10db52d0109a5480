#!/usr/bin/python3
"""Ask the proxy without a pause until the stop file is there: new connections and a kept one. Print what came back."""

from __future__ import annotations

import collections
import http.client
import json
import os
import sys
import threading
import time

STOP = "/tmp/load-stop"
answers: collections.Counter[str] = collections.Counter()
lock = threading.Lock()


def ask(connection: http.client.HTTPConnection, path: str) -> str:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode().strip()
    return body if response.status == 200 else str(response.status)


def worker(path: str, kept: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)
    while not os.path.exists(STOP):
        try:
            answer = ask(connection, path)
        except (OSError, http.client.HTTPException) as error:
            # A kept connection that the server closed between two requests: the client asks again on a new one.
            connection.close()
            if kept and isinstance(error, (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)):
                continue
            answer = repr(error)
        with lock:
            answers[answer] += 1
        if not kept:
            connection.close()
        time.sleep(0.01)


threads = [
    threading.Thread(target=worker, args=(path, kept))
    for path, kept in (("/version", False), ("/version", True), ("/cgi-bin/slow", False))
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
json.dump(answers, sys.stdout)
