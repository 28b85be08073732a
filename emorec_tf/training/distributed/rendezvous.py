"""Rendezvous: before TensorFlow starts, all machines connect and compare their settings.

TensorFlow waits long, and reports little, where a machine is missing or has other settings. Here
each sends the chief its number and its facts in a line of JSON; when all have connected, the chief
checks what only it can check, and answers all with the same line: "" or what is wrong. Then the
port is free.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping

from emorec_tf.config.fields import check
from emorec_tf.errors import UserError
from emorec_tf.training.distributed.cluster import VARIABLE, Team

SECONDS_VARIABLE = "EMOREC_MEET_SECONDS"
SECONDS = 300.0
PAUSE_SECONDS = 0.2
SILENCE_SECONDS = 10.0  # of a connection that sends nothing
LONGEST_LINE = 2**20  # bytes


def meet(team: Team, facts: Mapping[str, str], first: Callable[[], object]) -> None:
    """Wait until all machines have connected and agree; the chief then does ``first``.

    Raises:
        UserError: which machines are missing, which facts differ, or why ``first`` failed.
    """
    text = os.environ.get(SECONDS_VARIABLE, str(SECONDS))
    check(text.replace(".", "", 1).isdigit(), SECONDS_VARIABLE, text, "a number of seconds")
    deadline = time.monotonic() + float(text)
    if team.chief:
        receive(team, facts, first, deadline, text)
    else:
        report(team, facts, deadline, text)


def receive(
    team: Team, facts: Mapping[str, str], first: Callable[[], object], deadline: float, text: str
) -> None:
    """The chief's side: receive the facts of all others, then answer them."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listening(team))
        connected: dict[int, tuple[socket.socket, Mapping[str, str]]] = {}
        while len(connected) < len(team) - 1:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = [team.addresses[i] for i in range(1, len(team)) if i not in connected]
                problem = f"no word from {', '.join(missing)} within {text} s; start it there too"
                answer(connected, problem)
                raise UserError(f"{VARIABLE}: {problem}") from None
            stack.enter_context(connection)
            connection.settimeout(SILENCE_SECONDS)
            message = line_of(connection)
            number, sent = message.get("index"), message.get("facts")
            if isinstance(number, int) and 0 < number < len(team) and isinstance(sent, dict):
                connected[number] = connection, sent
        problem = different(team, facts, {i: sent for i, (_, sent) in connected.items()})
        try:
            if not problem:
                first()
        except UserError as error:
            problem = str(error)
        answer(connected, problem)
    if problem:
        raise UserError(problem)


def listening(team: Team) -> socket.socket:
    """Listen at the chief's own address.

    Raises:
        UserError: the port is taken.
    """
    port = int(team.addresses[0].rpartition(":")[2])
    try:
        return socket.create_server(("", port), backlog=len(team))
    except OSError as error:
        raise UserError(f"{VARIABLE}: port {port} of the chief: {error.strerror}") from error


def report(team: Team, facts: Mapping[str, str], deadline: float, text: str) -> None:
    """The others' side: send the facts to the chief until it answers."""
    host, _, port = team.addresses[0].rpartition(":")
    line = json.dumps({"index": team.index, "facts": facts}).encode() + b"\n"
    why = ""
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, TimeoutError):
            left = max(0.01, deadline - time.monotonic())
            with socket.create_connection((host.strip("[]"), int(port)), left) as connection:
                connection.sendall(line)
                connection.settimeout(left + 5.0)  # the chief's own message comes first
                answered = line_of(connection)
            if "problem" in answered:
                why = str(answered["problem"])
                if why:
                    raise UserError(why)
                return
        time.sleep(PAUSE_SECONDS)
    raise UserError(
        f"{VARIABLE}: the chief, {team.addresses[0]}, does not answer within {text} s; is it "
        f"started, and can it be reached from here?"
    )


def line_of(connection: socket.socket) -> dict[str, object]:
    """Read one line of JSON; {} if it is anything else."""
    try:
        with connection.makefile("rb") as file:
            message = json.loads(file.readline(LONGEST_LINE))
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}


def answer(connected: Mapping[int, tuple[socket.socket, Mapping[str, str]]], problem: str) -> None:
    """Answer all machines; "" means that training starts."""
    for connection, _ in connected.values():
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps({"problem": problem}).encode() + b"\n")


def different(team: Team, own: Mapping[str, str], others: Mapping[int, Mapping[str, str]]) -> str:
    """Name in one line where machines differ from the chief; "" where none does."""
    found = [
        f"{name} is {sent.get(name)} at {team.addresses[index]} and {own.get(name)} at the chief"
        for index, sent in sorted(others.items())
        for name in sorted({*own, *sent})
        if sent.get(name) != own.get(name)
    ]
    return f"the machines differ: {'; '.join(found)}" if found else ""
