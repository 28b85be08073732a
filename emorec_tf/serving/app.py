"""The web page and the HTTP API of a run; neither loads anything from outside the machine."""

from __future__ import annotations

import errno
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from jinja2 import Environment, FileSystemLoader
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from emorec_tf import __version__
from emorec_tf.errors import UserError
from emorec_tf.evaluation import run_card
from emorec_tf.inference import class_colours, timeline
from emorec_tf.inference.answers import MediaAnswer
from emorec_tf.inference.long_media import Settings
from emorec_tf.inference.predictor import Predictor
from emorec_tf.serving import responses
from emorec_tf.serving.answer_schema import ANSWER_CONTENT
from emorec_tf.serving.guard import Guarded, refusal
from emorec_tf.serving.hosts import Hosts
from emorec_tf.serving.job_queue import FullError, GoneError, JobQueue, LateError
from emorec_tf.serving.uploads import Body, RefusedError, received

_LOG = logging.getLogger(__name__)
GONE_STATUS = 499  # used in the metrics only
SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
TEMPLATES = Path(__file__).parent / "templates"
FORM = {
    "type": "object",
    "required": ["clip"],
    "properties": {
        "clip": {"type": "string", "format": "binary", "description": "video, audio or image"},
        "abstain_below": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": 0,
            "description": "the emotion is 'unsure' where no probability reaches this",
        },
        "people": {
            "type": "string",
            "enum": ["main", "all"],
            "description": "which people in a clip of up to two windows are answered; main: the "
            "larger face; all: each person in view; default: as the server was started",
        },
    },
}
STATUSES = {
    200: "the object that predict --json prints; a video that breaks off is answered as far as it "
    "goes, and the header emorec-problem says so",
    400: "no form, no clip in it, an empty clip, or a wrong value",
    408: "the clip came too slowly",
    413: "the clip is too large",
    415: "no multipart/form-data",
    422: "the clip cannot be read as audio, video or image",
    429: "too many clips are waiting; the header retry-after guesses when to come again",
    500: "the server cannot keep the clip, or failed otherwise",
    504: "the time limit has passed",
    507: "the server's disk is full",
}


@dataclass(frozen=True)
class Limits:
    """Limits of requests; up to ``queue`` clips wait besides the one being processed."""

    upload_mb: float = 200.0
    seconds: float = 600.0
    queue: int = 8


@dataclass(frozen=True)
class Server:
    """Everything that a request needs."""

    model: Predictor
    settings: Settings
    limits: Limits
    jobs: JobQueue
    registry: CollectorRegistry
    requests: Counter = field(repr=False)


def app(
    model: Predictor,
    settings: Settings | None = None,
    limits: Limits | None = None,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """Make the application.

    Args:
        model: the run.
        settings: how videos are answered.
        limits: of uploads, time and queue.
        hosts: names by which the server may be reached, besides those of this machine itself.
    """
    limits = limits or Limits()
    registry = CollectorRegistry()
    took = Histogram("emorec_answer_seconds", "Time to answer a clip", [], buckets=SECONDS,
                     registry=registry)  # fmt: skip
    requests = Counter("emorec_requests", "Answers by path and status", ["path", "status"],
                       registry=registry)  # fmt: skip
    jobs = JobQueue(limits.queue, took.observe)
    waiting = Gauge("emorec_queue_length", "Clips waiting besides the one that is answered",
                    registry=registry)  # fmt: skip
    waiting.set_function(lambda: max(0, jobs.taken - 1))
    server = Server(model, settings or Settings(), limits, jobs, registry, requests)

    @asynccontextmanager
    async def life(_: FastAPI) -> Any:
        yield
        jobs.close()

    made = FastAPI(
        title="emorec_tf", version=__version__, docs_url=None, redoc_url=None, lifespan=life
    )
    for path, (function, method, facts) in ROUTES.items():
        endpoint = partial(function, server)
        made.add_api_route(
            path, endpoint, methods=[method], response_model=None, name=function.__name__,
            description=function.__doc__, **facts,
        )  # fmt: skip
    made.add_middleware(Guarded, requests=requests, paths=frozenset(ROUTES), hosts=Hosts.of(hosts))
    return made


async def predict(server: Server, request: Request) -> Response:
    """Answer a clip: the same object as the command's."""
    return await answered(server, request, lambda found: found.answer)


async def look(server: Server, request: Request) -> Response:
    """Answer a clip for the page: with faces and timeline."""
    return await answered(server, request, lambda found: asdict(responses.for_page(found)))


async def answered(
    server: Server, request: Request, shape: Callable[[MediaAnswer], Any]
) -> Response:
    """Take a clip, let the worker answer it; every failure is a status and a line."""
    limits, deadline = server.limits, time.monotonic() + server.limits.seconds
    body = Body(request, int(limits.upload_mb * 1e6))
    try:
        with server.jobs.place():
            async with received(body, limits.seconds) as upload:
                work = partial(responses.answer, server.model, upload.path, upload.name,
                               upload.abstain_below, upload.people, server.settings)  # fmt: skip
                found = await server.jobs.answer(work, deadline, request.is_disconnected)
                return answer_of(found, shape(found))
    except FullError as error:
        response = refusal(
            429, "too many clips are waiting; try again later",
            **{"retry-after": str(error.retry_after_seconds)},
        )  # fmt: skip
    except RefusedError as error:
        response = refusal(error.status, error.line)
    except UserError as error:
        response = refusal(422, str(error))
    except LateError:
        response = refusal(504, f"no answer within {limits.seconds:g} s; send a shorter clip")
    except GoneError:
        return refusal(GONE_STATUS, "the client has left")
    except OSError as error:
        _LOG.error("a clip could not be kept: %s", error)
        status = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500
        response = refusal(status, "the server has no place to keep the clip; try again later")
    await body.drain()
    return response


def answer_of(found: MediaAnswer, content: Any) -> Response:
    """Build a response; a header reports what could not be read of a video."""
    problem = (found.problem or "").encode("ascii", "replace").decode()
    return JSONResponse(content, headers={"emorec-problem": problem} if problem else None)


async def page(server: Server, _: Request) -> Response:
    """Give the web page."""
    run, limits = server.model.run, server.limits
    facts = {
        "colours": {**timeline.COLOURS, **class_colours.of(run.classes)},
        "upload_mb": limits.upload_mb,
        "hop_seconds": server.settings.hop_seconds or run.config.features.clip_seconds / 2,
        "rating": run.task.rating,
        "unlike_below": server.model.unlike_below,
        "unsure_below": server.model.unfamiliar_below,
        "modalities": server.model.modalities,
    }
    card = run_card.as_html(run_card.card_of(run))
    name = run.folder.resolve().name
    shown = {"name": name, "classes": run.classes, "rating": run.task.rating, "card": card,
             "can_tell": bool(server.model.unlike_below)}  # fmt: skip
    return HTMLResponse(template("page.html.j2").render(facts=json.dumps(facts), **shown))


async def documentation(server: Server, request: Request) -> Response:
    """Give a page that says how to call the API; it loads nothing."""
    text = template("docs.html.j2").render(
        statuses=STATUSES, fields=FORM["properties"], limits=server.limits,
        base=str(request.base_url).rstrip("/"),
    )  # fmt: skip
    return HTMLResponse(text)


async def style(_server: Server, _: Request) -> Response:
    """Give the page's style sheet."""
    return Response(source("page.css.j2"), media_type="text/css")


async def script(_server: Server, _: Request) -> Response:
    """Give the page's script."""
    return Response(source("page.js.j2"), media_type="text/javascript")


async def healthz(server: Server, _: Request) -> Response:
    """Say that the server is up, and which run it answers by."""
    return JSONResponse({"status": "ok", "run": server.model.run.folder.resolve().name})


async def metrics(server: Server, _: Request) -> Response:
    """Give the metrics for Prometheus."""
    return Response(generate_latest(server.registry), media_type="text/plain; version=0.0.4")


def source(name: str) -> str:
    """Read a file that comes with the package."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


def template(name: str) -> Any:
    """Read a template that comes with the package."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True
    ).get_template(name)


HIDDEN = {"include_in_schema": False}
PREDICT = {
    "summary": "Answer a clip",
    "responses": {
        status: {"description": line, **({"content": ANSWER_CONTENT} if status == 200 else {})}
        for status, line in STATUSES.items()
    },
    "openapi_extra": {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}}
    },
}
ROUTES: dict[str, tuple[Callable[..., Any], str, dict[str, Any]]] = {
    "/predict": (predict, "POST", PREDICT),
    "/look": (look, "POST", HIDDEN),
    "/healthz": (healthz, "GET", {"summary": "Is it alive"}),
    "/metrics": (metrics, "GET", {"summary": "Metrics for Prometheus"}),
    "/": (page, "GET", HIDDEN),
    "/docs": (documentation, "GET", HIDDEN),
    "/page.css": (style, "GET", HIDDEN),
    "/page.js": (script, "GET", HIDDEN),
}
