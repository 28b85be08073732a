"""Serves an application until SIGINT or SIGTERM stops it, and reports when it is ready."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn

PARTING_SECONDS = 3  # for answers that are under way when it is stopped
STOPPING = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """uvicorn's server, which calls ``on_ready`` once it handles signals and requests."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        """Keep what to call."""
        super().__init__(config)
        self.on_ready = on_ready
        self.ready = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; uvicorn has installed its signal handlers before."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self.ready = True
            self.on_ready()


def serve(application: Any, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until a signal stops it; answers that are under way get a few seconds.

    Args:
        application: an ASGI application.
        listener: a socket that listens.
        on_ready: called when requests are answered and a signal stops the server cleanly.
    """
    config = uvicorn.Config(
        application, log_level="warning", server_header=False,
        timeout_graceful_shutdown=PARTING_SECONDS,
    )  # fmt: skip
    server = Server(config, on_ready)

    def stop(number: int, frame: Any) -> None:
        server.should_exit = True
        then = before[number]
        if callable(then) and not server.ready:  # nothing was served: it ends as while loading
            then(number, frame)

    # Used until uvicorn installs its own handlers; at the end it raises each signal once more.
    before = {int(number): signal.signal(number, stop) for number in STOPPING}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
