"""rendezvous: machines start together, or each reports in one line why not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from machines_here import free_ports

from emorec_tf.errors import UserError
from emorec_tf.training.distributed import rendezvous
from emorec_tf.training.distributed.cluster import Team


def met(
    facts: list[dict[str, str]], first: Callable[[], None] = lambda: None, absent: int = 0
) -> list[str]:
    """Errors of these machines, without the last ``absent`` ones; "" where one starts."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(len(facts)))
    messages = ["never ended"] * (len(facts) - absent)

    def one(index: int) -> None:
        try:
            rendezvous.meet(Team(addresses, index), facts[index], first)
            messages[index] = ""
        except UserError as error:
            messages[index] = str(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in reversed(range(len(messages)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return messages


def test_all_machines_start_after_the_chief_is_ready() -> None:
    done: list[int] = []
    assert met([{"epochs": "3"}] * 3, lambda: done.append(1)) == ["", "", ""]
    assert done == [1]


def test_all_machines_report_differing_settings() -> None:
    done: list[int] = []
    facts = [{"epochs": "3"}, {"epochs": "3"}, {"epochs": "4"}]
    messages = met(facts, lambda: done.append(1))
    assert len(set(messages)) == 1
    assert "epochs is 4 at 127.0.0.1:" in messages[0]
    assert "and 3 at the chief" in messages[0]
    assert not done


def test_all_machines_report_the_chiefs_error() -> None:
    def refused() -> None:
        raise UserError("run x was started with other settings")

    assert met([{}, {}], refused) == ["run x was started with other settings"] * 2


def test_missing_machines_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rendezvous.SECONDS_VARIABLE, "1.5")
    chief, other = met([{}, {}, {}], absent=1)
    assert "no word from 127.0.0.1:" in chief
    assert "within 1.5 s" in chief
    assert "no word from 127.0.0.1:" in other


def test_a_missing_chief_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rendezvous.SECONDS_VARIABLE, "0.5")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(UserError, match=f"the chief, {address}, does not answer within 0.5 s"):
        rendezvous.meet(Team((address, "127.0.0.1:1"), 1), {}, lambda: None)
    monkeypatch.setenv(rendezvous.SECONDS_VARIABLE, "soon")
    with pytest.raises(UserError, match="EMOREC_MEET_SECONDS is 'soon'"):
        rendezvous.meet(Team((address, "127.0.0.1:1"), 1), {}, lambda: None)


def test_unrelated_connections_are_ignored() -> None:
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(2))
    chief = threading.Thread(target=rendezvous.meet, args=(Team(addresses, 0), {}, lambda: None))
    chief.start()
    for line in (b"GET / HTTP/1.1\r\n\r\n", b'{"index": 7, "facts": {}}\n', b"[1]\n"):
        for _ in range(200):
            try:
                with socket.create_connection(("127.0.0.1", int(addresses[0][10:])), 5) as stranger:
                    stranger.sendall(line)
                break
            except ConnectionRefusedError:
                threading.Event().wait(0.02)
    rendezvous.meet(Team(addresses, 1), {}, lambda: None)
    chief.join(60)
    assert not chief.is_alive()
