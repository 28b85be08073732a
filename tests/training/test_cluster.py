"""machines: TF_CONFIG is understood, or refused in a line that says what it should be."""

from __future__ import annotations

import json

import pytest

from emorec_tf.errors import UserError
from emorec_tf.training.distributed import cluster as machines

HOSTS = ["10.0.0.1:4000", "node1:4001", "[::1]:4002"]


def text(cluster: dict[str, list[str]], kind: str = "worker", index: int = 0) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_workers_are_counted_after_the_chief() -> None:
    first = machines.team_of(text({"worker": HOSTS}, index=0))
    assert first == machines.Team(tuple(HOSTS), 0)
    assert first.chief
    cluster = {"chief": HOSTS[:1], "worker": HOSTS[1:]}
    assert machines.team_of(text(cluster, "chief")) == machines.Team(tuple(HOSTS), 0)
    assert machines.team_of(text(cluster, "worker", 1)) == machines.Team(tuple(HOSTS), 2)


@pytest.mark.parametrize("nothing", ["", " ", text({"worker": HOSTS[:1]})])
def test_one_machine_is_no_team(nothing: str) -> None:
    assert machines.team_of(nothing) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "cannot be read"),
        (text({"worker": HOSTS}, index=3), "no worker 3"),
        (text({"worker": HOSTS}, index=-1), "no worker -1"),
        (text({"worker": HOSTS}, "chief"), "jobs are chief and worker"),
        (text({"worker": HOSTS[:2], "ps": HOSTS[2:]}), "jobs are chief and worker"),
        (text({"worker": ["node0", "node1:1"]}), "'node0' is no host:port"),
        (text({"worker": ["node0:99999", "node1:1"]}), "'node0:99999' is no host:port"),
        (text({"worker": ["node0:1", "node0:1"]}), "twice"),
        (text({"chief": HOSTS[:2], "worker": HOSTS[2:]}), "more than one chief"),
    ],
)
def test_what_is_malformed_is_refused_in_one_line(wrong: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        machines.team_of(wrong)
    assert said in str(caught.value)
    assert machines.EXAMPLE in str(caught.value)
    assert "\n" not in str(caught.value)


def test_example_is_a_team() -> None:
    assert machines.team_of(machines.EXAMPLE) == machines.Team(("host0:4000", "host1:4000"), 0)


@pytest.mark.parametrize(
    ("size", "replicas", "near"), [(64, 3, "63 or 66"), (2, 4, "4"), (33, 2, "32 or 34")]
)
def test_batches_divide_by_the_replicas(size: int, replicas: int, near: str) -> None:
    with pytest.raises(UserError, match=f"the nearest that do: {near}$"):
        machines.check_batch(size, replicas)
    machines.check_batch(64, replicas if 64 % replicas == 0 else 2)
