"""Around every request: known hosts, no foreign pages, headers, counts, no traceback."""

from __future__ import annotations

import logging

from fastapi.responses import JSONResponse
from prometheus_client import Counter
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emorec_tf.serving.hosts import Hosts

_LOG = logging.getLogger(__name__)
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}


class Guarded:
    """Every answer gets the headers that keep pages to themselves, and is counted by status."""

    def __init__(
        self, app: ASGIApp, requests: Counter, paths: frozenset[str], hosts: Hosts
    ) -> None:
        """Stand around an application; other ``paths`` are counted as one."""
        self.app, self.requests, self.paths, self.hosts = app, requests, paths, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, but for one that another site's page sends, or to another host."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self.paths else "other"

        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self.requests.labels(path, message["status"]).inc()
                own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        request = Request(scope)
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if not self.hosts.include(host):
            line = "this host name is not served here; start serve with it in --allowed_hosts"
            await refusal(403, line)(scope, receive, guarded)
            return
        if origin and origin.split("://")[-1] != host:
            await refusal(403, "this comes from another site's page")(scope, receive, guarded)
            return
        try:
            await self.app(scope, receive, guarded)
        except Exception:
            if started:
                raise
            _LOG.exception("%s failed", path)
            await refusal(500, "the server failed; its log says why")(scope, receive, guarded)


def refusal(status: int, line: str, **headers: str) -> JSONResponse:
    """Say in one line what is wrong."""
    return JSONResponse({"error": " ".join(line.split())}, status, headers)
