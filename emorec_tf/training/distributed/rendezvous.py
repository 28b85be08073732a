"""Before TensorFlow starts, all machines meet at the chief's address and compare their settings.

TensorFlow waits long, and says little, where a machine is missing or has other settings. Here each
tells the chief its number and its facts in a line of JSON; when all are there, the chief does what
must come first, and answers all with the same line: go, or what is wrong. Then the port is free.
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
SILENCE_SECONDS = 10.0  # of somebody who connects and says nothing
LONGEST_LINE = 2**20  # bytes


def meet(team: Team, facts: Mapping[str, str], first: Callable[[], object]) -> None:
    """Wait until all are there and agree; the chief then does what comes ``first``.

    Raises:
        UserError: who is missing, which facts differ, or what kept the chief.
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
    """The chief's side: hear all others, then answer all of them."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listening(team))
        came: dict[int, tuple[socket.socket, Mapping[str, str]]] = {}
        while len(came) < len(team) - 1:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                connection, _ = server.accept()
            except TimeoutError:
                missing = [team.addresses[i] for i in range(1, len(team)) if i not in came]
                problem = f"no word from {', '.join(missing)} within {text} s; start it there too"
                answer(came, problem)
                raise UserError(f"{VARIABLE}: {problem}") from None
            stack.enter_context(connection)
            connection.settimeout(SILENCE_SECONDS)
            heard = line_of(connection)
            number, told = heard.get("index"), heard.get("facts")
            if isinstance(number, int) and 0 < number < len(team) and isinstance(told, dict):
                came[number] = connection, told
        problem = different(team, facts, {i: told for i, (_, told) in came.items()})
        try:
            if not problem:
                first()
        except UserError as error:
            problem = str(error)
        answer(came, problem)
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
    """The others' side: tell the chief, again and again until it answers."""
    host, _, port = team.addresses[0].rpartition(":")
    line = json.dumps({"index": team.index, "facts": facts}).encode() + b"\n"
    why = ""
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, TimeoutError):
            left = max(0.01, deadline - time.monotonic())
            with socket.create_connection((host.strip("[]"), int(port)), left) as connection:
                connection.sendall(line)
                connection.settimeout(left + 5.0)  # the chief's own line comes first
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
    """Read one line of JSON; {} of whatever else talks here."""
    try:
        with connection.makefile("rb") as file:
            heard = json.loads(file.readline(LONGEST_LINE))
    except (OSError, ValueError):
        return {}
    return heard if isinstance(heard, dict) else {}


def answer(came: Mapping[int, tuple[socket.socket, Mapping[str, str]]], problem: str) -> None:
    """Tell all who came; "" means go."""
    for connection, _ in came.values():
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps({"problem": problem}).encode() + b"\n")


def different(team: Team, own: Mapping[str, str], others: Mapping[int, Mapping[str, str]]) -> str:
    """Say in one line where machines differ from the chief; "" where none does."""
    found = [
        f"{name} is {told.get(name)} at {team.addresses[index]} and {own.get(name)} at the chief"
        for index, told in sorted(others.items())
        for name in sorted({*own, *told})
        if told.get(name) != own.get(name)
    ]
    return f"the machines differ: {'; '.join(found)}" if found else ""
