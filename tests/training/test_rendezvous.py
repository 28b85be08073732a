"""rendezvous: machines start together, or each says in one line why not."""

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
    """What each of these machines, all but the last ``absent``, ends with; "" where it goes on."""
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(len(facts)))
    told = ["never ended"] * (len(facts) - absent)

    def one(index: int) -> None:
        try:
            rendezvous.meet(Team(addresses, index), facts[index], first)
            told[index] = ""
        except UserError as error:
            told[index] = str(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in reversed(range(len(told)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return told


def test_all_go_once_the_chief_has_done_what_comes_first() -> None:
    done: list[int] = []
    assert met([{"epochs": "3"}] * 3, lambda: done.append(1)) == ["", "", ""]
    assert done == [1]


def test_all_hear_which_settings_differ() -> None:
    done: list[int] = []
    facts = [{"epochs": "3"}, {"epochs": "3"}, {"epochs": "4"}]
    told = met(facts, lambda: done.append(1))
    assert len(set(told)) == 1
    assert "epochs is 4 at 127.0.0.1:" in told[0]
    assert "and 3 at the chief" in told[0]
    assert not done


def test_all_hear_what_kept_the_chief() -> None:
    def refused() -> None:
        raise UserError("run x was started with other settings")

    assert met([{}, {}], refused) == ["run x was started with other settings"] * 2


def test_missing_machines_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rendezvous.SECONDS_VARIABLE, "1.5")
    chief, other = met([{}, {}, {}], absent=1)
    assert "no word from 127.0.0.1:" in chief
    assert "within 1.5 s" in chief
    assert "no word from 127.0.0.1:" in other


def test_a_chief_who_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rendezvous.SECONDS_VARIABLE, "0.5")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(UserError, match=f"the chief, {address}, does not answer within 0.5 s"):
        rendezvous.meet(Team((address, "127.0.0.1:1"), 1), {}, lambda: None)
    monkeypatch.setenv(rendezvous.SECONDS_VARIABLE, "soon")
    with pytest.raises(UserError, match="EMOREC_MEET_SECONDS is 'soon'"):
        rendezvous.meet(Team((address, "127.0.0.1:1"), 1), {}, lambda: None)


def test_strangers_do_not_disturb() -> None:
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
