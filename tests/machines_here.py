"""Processes on one machine that act as several machines."""

from __future__ import annotations

import json
import socket


def free_ports(count: int) -> list[int]:
    """Different ports without a listener."""
    open_ones = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in open_ones]
    for server in open_ones:
        server.close()
    return ports


def team_config(ports: list[int], index: int) -> str:
    """TF_CONFIG of one of these processes."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
