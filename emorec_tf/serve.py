"""Command: a run as a web page and an HTTP API on this machine."""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from emorec_tf.cli import guarded, parse
from emorec_tf.config.fields import check, option
from emorec_tf.errors import SetupError, UserError
from emorec_tf.inference import model_store

NEEDED = ("fastapi", "multipart", "prometheus_client", "uvicorn")
PARTING_SECONDS = 3  # for answers that are under way when it is stopped
BACKLOG = 128


@dataclass(frozen=True)
class ServeOptions:
    """Which run, for whom, and how much one of them may ask."""

    run: str | None = option(
        None, f"run directory that train wrote, or a model's name; none: {model_store.DEFAULT}"
    )
    port: int = option(8080, "port of the page and the API; 0: any free one")
    host: str = option("127.0.0.1", "address to listen on; only this machine reaches 127.0.0.1")
    max_upload_mb: float = option(200.0, "largest clip that is taken, in MB")
    time_limit_seconds: float = option(600.0, "longest a clip may take, with its wait")
    queue: int = option(8, "so many clips may wait while one is answered")
    window_hop_seconds: float | None = option(
        None, "step from window to window, in seconds; none: half a window"
    )
    speech_check: Literal["on", "off"] = option(
        "on", "leave the voice out where a check hears no speech"
    )
    device: Literal["auto", "cpu", "gpu"] = option(
        "auto", "what the network runs on; auto: a GPU if TensorFlow sees one"
    )
    face_model: str | None = option(None, "face detector's model file, where it has none inside")
    mesh_model: str | None = option(None, "face mesh's model file, where MediaPipe has none inside")
    enrol: str | None = option(
        None, "folder of unlabelled clips of the one speaker, for a run trained with --enrol"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Serve until a signal says to stop."""
    given = parse(argv, "serve", ServeOptions, config_flag=False)
    options = ServeOptions(
        **{f.name: given[f.name] for f in fields(ServeOptions) if f.name in given}
    )
    options = replace(options, run=model_store.chosen(options.run, "serve"))
    check(0 <= options.port < 65536, "port", options.port, "0 to 65535")
    check(options.max_upload_mb > 0, "max_upload_mb", options.max_upload_mb, "above 0")
    check(options.time_limit_seconds > 0, "time_limit_seconds", options.time_limit_seconds,
          "above 0")  # fmt: skip
    check(options.queue >= 0, "queue", options.queue, "0 or more")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(f"serve needs {missing[0]}; pip install 'emorec_tf[serve]'")
    # The port first: who has to give another one need not wait for the network.
    with bound(options.host, options.port) as door:
        return serve(options, door)


def serve(options: ServeOptions, door: socket.socket) -> int:
    """Open the run, and answer whoever comes to the door."""
    from emorec_tf.inference.predictor import opened
    from emorec_tf.predict import use

    use(options.device)
    ready = opened(str(options.run), options.face_model, options.mesh_model, enrol=options.enrol)
    import uvicorn

    from emorec_tf.inference.long_media import Settings
    from emorec_tf.inference.windows import hop_of
    from emorec_tf.serving import app

    hop_of(ready.run.config.features.clip_seconds, options.window_hop_seconds)
    settings = Settings(options.window_hop_seconds, speech_check=options.speech_check == "on")
    limits = app.Limits(options.max_upload_mb, options.time_limit_seconds, options.queue)
    application = app.app(ready, settings, limits)
    host, port = door.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"serving {options.run} on http://{shown}:{port} (stop: Ctrl-C)", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            application, log_level="warning", server_header=False,
            timeout_graceful_shutdown=PARTING_SECONDS,
        )
    )  # fmt: skip
    # uvicorn stops by either signal, then sends it once more to whoever handled it before.
    before = {s: signal.signal(s, ignored) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[door])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    print("stopped", flush=True)
    return 0


def ignored(_number: int, _frame: Any) -> None:
    """Do nothing: the server has stopped already."""


def bound(host: str, port: int) -> socket.socket:
    """Open the door.

    Raises:
        UserError: the port is in use or not ours, or there is no such address here.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
        door.listen(BACKLOG)  # or a second server could take the port meanwhile
    except OSError as error:
        door.close()
        raise UserError(
            f"cannot listen on {host} port {port} ({error.strerror}); give another --port or --host"
        ) from error
    return door


if __name__ == "__main__":
    sys.exit(main())
