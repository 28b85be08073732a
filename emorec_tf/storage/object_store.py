"""Object storage for ``tf.io.gfile``: check that it is reachable, and end the process cleanly.

TensorFlow itself supports ``gs://``; tensorflow-io's native plugins add ``s3://``. Both report
"does not exist" for a refused key, a missing bucket and an unreachable network alike, and only
after a minute. So the first use of a bucket probes it once, by HTTP and without a key.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from emorec_tf.errors import SetupError
from emorec_tf.storage.downloads import import_package
from emorec_tf.storage.quiet import quiet

SCHEMES = ("gs", "s3")
PROBE_SECONDS = 5.0
METADATA = ("169.254.169.254", 80)  # where machines of a cloud get their keys
METADATA_SECONDS = 1.0
NO_METADATA = {"s3": "AWS_EC2_METADATA_DISABLED", "gs": "NO_GCE_CHECK"}  # true: never ask
# Where keys are searched, by scheme: environment variables, files in the home folder.
KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "s3": (
        (
            "AWS_ACCESS_KEY_ID",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_SHARED_CREDENTIALS_FILE",
        ),
        (".aws/credentials", ".aws/config"),
    ),
    "gs": (
        ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_AUTH_TOKEN_FOR_TESTING"),
        (".config/gcloud/application_default_credentials.json",),
    ),
}
REMEDY = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or fill ~/.aws/credentials",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run gcloud auth "
    "application-default login",
}


@functools.cache
def ready(scheme: str, bucket: str) -> Any:
    """Return ``tf.io.gfile`` once the bucket is known to be usable.

    Raises:
        SetupError: unknown scheme, no plugin for it, no network, no bucket, no key.
    """
    url = f"{scheme}://{bucket}"
    if scheme not in SCHEMES:
        raise SetupError(f"{url}: only {', '.join(f'{s}://' for s in SCHEMES)} are supported")
    if not has_key(scheme):
        raise SetupError(f"{url}: no credentials found; {REMEDY[scheme]}")
    probe(scheme, bucket)
    return file_system(scheme)


def endpoint_of(scheme: str) -> str:
    """Address of the storage service."""
    if scheme == "gs":
        return "https://storage.googleapis.com"
    region = os.environ.get("AWS_REGION") or "us-east-1"
    address = os.environ.get("S3_ENDPOINT") or f"s3.{region}.amazonaws.com"
    return address if "://" in address else f"https://{address}"


def probe(scheme: str, bucket: str) -> None:
    """Ask for a bucket without a key; status 403 (private) means that it exists.

    Raises:
        SetupError: no answer, no such bucket, or one in another region.
    """
    url, endpoint = f"{scheme}://{bucket}", endpoint_of(scheme)
    hint = " and S3_ENDPOINT" if scheme == "s3" else ""
    try:
        request = urllib.request.Request(f"{endpoint}/{bucket}", method="HEAD")
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise SetupError(f"{url}: no such bucket at {endpoint}; create it first") from error
        region = error.headers.get("x-amz-bucket-region")
        if error.code in (301, 307, 400) and region:
            raise SetupError(f"{url} is in another region; set AWS_REGION={region}") from error
        if error.code >= 500:
            raise SetupError(f"{url}: {endpoint} answers {error.code}; try again later") from error
    except (OSError, ValueError) as error:  # URLError is an OSError
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise SetupError(
            f"{url}: {endpoint} cannot be reached ({reason}); check the network{hint}"
        ) from error


def has_key(scheme: str) -> bool:
    """Whether there is a key, or a metadata service that may provide one."""
    variables, files = KEYS[scheme]
    if any(os.environ.get(name) for name in variables):
        return True
    if any((Path.home() / name).is_file() for name in files):
        return True
    if os.environ.get(NO_METADATA[scheme], "").lower() == "true":
        return False
    try:
        socket.create_connection(METADATA, METADATA_SECONDS).close()
    except OSError:
        return False
    return True


@functools.cache
def file_system(scheme: str) -> Any:
    """Load the file system of ``scheme``; return ``tf.io.gfile``.

    Raises:
        SetupError: there is no tensorflow-io, or this TensorFlow does not load its native plugins.
    """
    import tensorflow as tf

    if scheme == "s3":
        with quiet():  # it warns twice where its native parts do not fit this TensorFlow
            import_package("tensorflow_io", "'emorec-tf[s3]'")  # registers the file systems
        if scheme not in tf.io.gfile.get_registered_schemes():
            raise SetupError(
                f"s3:// needs tensorflow-io's native plugins, which do not load with TensorFlow "
                f"{tf.__version__}; install requirements.lock, or copy the files here first"
            )
        end_cleanly()
    return tf.io.gfile


def end_cleanly() -> None:
    """End the process before the destructors of tensorflow-io's plugins run.

    Its S3 client is never shut down (``Aws::ShutdownAPI``). At exit the destructor of a static
    ``EC2MetadataClient`` then calls into a logger that is gone: "pure virtual method called", exit
    code 134. Handlers of ``on_exit`` run in reverse order and get the exit code, so ``_exit``,
    added when Python has ended, runs before any destructor.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "on_exit"):  # not glibc
        return

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        library.fflush(None)
        library.on_exit(ctypes.cast(library._exit, ctypes.c_void_p), None)

    atexit.register(leave)
