"""Opens the port before anything slow is loaded."""

from __future__ import annotations

import socket

from emorec_tf.errors import UserError

BACKLOG = 128


def listening(host: str, port: int) -> socket.socket:
    """Open a listening socket, which is also a context manager.

    Raises:
        UserError: the port is in use or not permitted, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # or a second server could take the port meanwhile
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot listen on {host} port {port} ({error.strerror}); give another --port or --host"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Write the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
