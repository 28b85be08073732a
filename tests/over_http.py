"""An application of ``serve`` on a free port of this machine, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from emorec_tf.serving.listening import address_of, listening


@contextmanager
def reached(application: Any) -> Iterator[httpx.Client]:
    """Serve an application from a thread of this process."""
    with listening("127.0.0.1", 0) as listener:
        # uvicorn's logging setup closes absl's handler, and pytest's stream with it
        server = uvicorn.Server(uvicorn.Config(application, log_config=None))
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        try:
            with httpx.Client(base_url=address_of(listener), timeout=60, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
