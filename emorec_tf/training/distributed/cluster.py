"""Training on several machines: the cluster that TF_CONFIG describes, and its limits.

Only the chief, number 0, writes into the run. All machines read it, so it must be on a shared disk.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emorec_tf.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["host0:4000", "host1:4000"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Team:
    """All processes that train together, by address, and the number of this one."""

    addresses: tuple[str, ...]
    index: int

    @property
    def chief(self) -> bool:
        """Whether this one writes."""
        return self.index == 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self.addresses)


@functools.cache
def team() -> Team | None:
    """Read TF_CONFIG; None where this process trains alone."""
    text = os.environ.get(VARIABLE, "")
    if not text.strip():
        os.environ.pop(VARIABLE, None)  # TensorFlow fails on an empty one
    return team_of(text)


def team_of(text: str) -> Team | None:
    """Make a team from the text of TF_CONFIG; None if it is empty or names one machine.

    Raises:
        UserError: it does not say which machines take part and which of them this is.
    """
    if not text.strip():
        return None
    try:
        found = json.loads(text)
        cluster, task = found["cluster"], found["task"]
        lists = [cluster.get(job, []) for job in ("chief", "worker")]
        addresses = tuple(address for every in lists for address in every)
        index = int(task["index"]) + (len(lists[0]) if task["type"] == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise malformed("it cannot be read") from error
    if set(cluster) - {"chief", "worker"} or task["type"] not in cluster:
        raise malformed("jobs are chief and worker, and the task's type is one of them")
    if len(lists[0]) > 1 or int(task["index"]) not in range(len(cluster[task["type"]])):
        raise malformed(f"there is no {task['type']} {task['index']}, or more than one chief")
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise malformed(f"{address!r} is no host:port")
    if len(set(addresses)) < len(addresses):
        raise malformed("an address is listed twice")
    return Team(addresses, index) if len(addresses) > 1 else None


def malformed(why: str) -> UserError:
    """Say what is wrong with TF_CONFIG, and what it looks like."""
    return UserError(f"{VARIABLE}: {why}; it must look like {EXAMPLE}")


@functools.cache
def strategy() -> tf.distribute.Strategy:
    """Return this process's one strategy: over its devices, or over those of several machines.

    A second MirroredStrategy breaks training on two replicas.
    """
    import tensorflow as tf

    if team():
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.MirroredStrategy()


def is_chief() -> bool:
    """Whether this process writes: the chief does, and a process that trains alone."""
    own = team()
    return own is None or own.chief


def refuse(what: str, instead: str) -> None:
    """Refuse what only one process can do.

    Raises:
        UserError: TF_CONFIG names several.
    """
    if team():
        raise UserError(f"{what} is the work of one process; unset {VARIABLE}, and {instead}")


def check_batch(size: int, replicas: int) -> None:
    """Refuse a global batch that replicas cannot share evenly.

    Raises:
        UserError: it does not divide; the message names the nearest sizes that do.
    """
    if size % replicas:
        below = size // replicas * replicas
        near = " or ".join(str(n) for n in (below, below + replicas) if n)
        raise UserError(
            f"batch_size {size} (over all devices together) does not divide by {replicas} "
            f"replicas; the nearest that do: {near}"
        )
