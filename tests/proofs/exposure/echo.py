"""A server that says its name before what it was sent, on TCP and UDP, IPv4 and IPv6: echo.py NAME PORT..."""

from __future__ import annotations

import socket
import sys
import threading


def tcp(name: str, port: int) -> None:
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64) as server:
        while True:
            connection, _client = server.accept()
            threading.Thread(target=answer, args=(name, connection), daemon=True).start()


def answer(name: str, connection: socket.socket) -> None:
    with connection:
        connection.settimeout(5)
        try:
            connection.sendall(f"{name} ".encode() + connection.recv(64))
        except OSError:
            return


def udp(name: str, port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", port))
        while True:
            payload, client = server.recvfrom(64)
            server.sendto(f"{name} ".encode() + payload, client)


if __name__ == "__main__":
    for number in map(int, sys.argv[2:]):
        threading.Thread(target=udp, args=(sys.argv[1], number), daemon=True).start()
        threading.Thread(target=tcp, args=(sys.argv[1], number), daemon=True).start()
    threading.Event().wait()
