"""Command: a run as a web page and an HTTP API on this machine."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from emorec_tf.cli import guarded, parse_options
from emorec_tf.config.fields import check, option
from emorec_tf.errors import SetupError
from emorec_tf.inference.options import ModelOptions
from emorec_tf.serving.listening import address_of, listening
from emorec_tf.storage.screen import say
from emorec_tf.training import model_store

NEEDED = ("fastapi", "multipart", "prometheus_client", "uvicorn")


@dataclass(frozen=True)
class ServeOptions(ModelOptions):
    """Which run, on which address, and the limits of one client."""

    port: int = option(8080, "TCP port of the page and the API; 0: any free port")
    host: str = option(
        "127.0.0.1", "address to listen on; 127.0.0.1 can be reached from this machine only"
    )
    max_upload_mb: float = option(200.0, "largest upload that is accepted, in MB", expert=True)
    time_limit_seconds: float = option(
        600.0, "longest time for a clip, in seconds, with its time in the queue", expert=True
    )
    queue: int = option(
        8, "clips that may wait while one is processed; more are refused", expert=True
    )
    allowed_hosts: str | None = option(
        None,
        "comma list of further host names by which the server is reached, such as a proxy's "
        "(default: --host, localhost and, with --host 0.0.0.0, any IP address)",
        metavar="LIST",
        expert=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return guarded(run, argv)


def run(argv: Sequence[str] | None) -> int:
    """Serve until a signal says to stop."""
    options, _ = parse_options(argv, "serve", ServeOptions, config_flag=False)
    run_folder = model_store.chosen(options.run, "serve")
    check(0 <= options.port < 65536, "port", options.port, "0 to 65535")
    check(options.max_upload_mb > 0, "max_upload_mb", options.max_upload_mb, "above 0")
    check(options.time_limit_seconds > 0, "time_limit_seconds", options.time_limit_seconds,
          "above 0")  # fmt: skip
    check(options.queue >= 0, "queue", options.queue, "0 or more")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(f"serve needs {missing[0]}; pip install 'emorec-tf[serve]'")
    # The port first: a user who has to give another one need not wait for the network.
    with listening(options.host, options.port) as listener:
        model = options.load(run_folder)
        from emorec_tf.inference.media_answer import Settings
        from emorec_tf.serving import app
        from emorec_tf.serving.server import serve

        settings = Settings(
            options.window_hop_seconds, speech_check=options.speech_check, people=options.people
        )
        limits = app.Limits(options.max_upload_mb, options.time_limit_seconds, options.queue)
        line = f"serving {run_folder} on {address_of(listener)} (stop: Ctrl-C)"
        hosts = [options.host, *(options.allowed_hosts or "").split(",")]
        application = app.app(model, settings, limits, hosts)
        serve(application, listener, lambda: say(line))
    say("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
