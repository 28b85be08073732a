"""cluster: TF_CONFIG is parsed, or refused in one line that says what it should be."""

from __future__ import annotations

import json

import pytest

from emorec_tf.errors import UserError
from emorec_tf.training.distributed import cluster

HOSTS = ["10.0.0.1:4000", "node1:4001", "[::1]:4002"]


def text(jobs: dict[str, list[str]], kind: str = "worker", index: int = 0) -> str:
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})


def test_workers_are_counted_after_the_chief() -> None:
    first = cluster.team_of(text({"worker": HOSTS}, index=0))
    assert first == cluster.Team(tuple(HOSTS), 0)
    assert first.chief
    jobs = {"chief": HOSTS[:1], "worker": HOSTS[1:]}
    assert cluster.team_of(text(jobs, "chief")) == cluster.Team(tuple(HOSTS), 0)
    assert cluster.team_of(text(jobs, "worker", 1)) == cluster.Team(tuple(HOSTS), 2)


@pytest.mark.parametrize("nothing", ["", " ", text({"worker": HOSTS[:1]})])
def test_one_machine_is_not_a_cluster(nothing: str) -> None:
    assert cluster.team_of(nothing) is None


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
def test_malformed_tf_config_is_refused_in_one_line(wrong: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        cluster.team_of(wrong)
    assert said in str(caught.value)
    assert cluster.EXAMPLE in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_example_in_the_error_is_valid() -> None:
    assert cluster.team_of(cluster.EXAMPLE) == cluster.Team(("host0:4000", "host1:4000"), 0)


@pytest.mark.parametrize(
    ("size", "replicas", "near"), [(64, 3, "63 or 66"), (2, 4, "4"), (33, 2, "32 or 34")]
)
def test_batches_divide_by_the_replicas(size: int, replicas: int, near: str) -> None:
    with pytest.raises(UserError, match=f"the nearest that do: {near}$"):
        cluster.check_batch(size, replicas)
    cluster.check_batch(64, replicas if 64 % replicas == 0 else 2)


def test_the_strategy_is_made_once() -> None:
    assert cluster.strategy() is cluster.strategy()
