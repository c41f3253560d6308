"""Clients that ask one question after the other, and know the answers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from tests.bench.contestants import Running
from tests.bench.rounds import Figures
from tests.bench.watchers import Usage
from tests.bench.wires import Address, Disagreement, Line, Loop, post

LOAD_SECONDS = 600  # for all answers

Question = tuple[bytes, Any]  # the request, and the `data` of its answer


def question(
    address: Address, token: str | None, query: str, variables: Mapping[str, Any], expected: Mapping[str, Any]
) -> Question:
    return post(address, orjson.dumps({"query": query, "variables": variables}), token), expected


class Load:
    """So many clients take the next question, each as soon as its last one is answered, until there are no more."""

    def __init__(self, loop: Loop, address: Address, clients: int, questions: Iterator[Question]) -> None:
        self._loop = loop
        self._questions = questions
        self._working = clients
        self.answered = 0
        for _ in range(clients):
            self._ask(Line(loop, address))

    def finish(self, seconds: float) -> None:
        """Returns once all is answered. Raises `TimeoutError`."""
        self._loop.until(lambda: not self._working, seconds)

    def _ask(self, line: Line) -> None:
        following = next(self._questions, None)
        if following is None:
            self._working -= 1
            return
        request, expected = following
        line.send(request, lambda body: self._take(line, body, expected))

    def _take(self, line: Line, body: bytes, expected: Any) -> None:
        if orjson.loads(body) != {"data": expected}:
            raise Disagreement(f"the server answered {body[:500]!r} instead of {expected}")
        self.answered += 1
        self._ask(line)


def ask(loop: Loop, running: Running, clients: int, questions: Iterator[Question], what: str) -> Figures:
    """The figures of asking all of them."""
    usage = Usage.of(running.pid)
    load = Load(loop, running.address, clients, questions)
    load.finish(LOAD_SECONDS)
    return usage.figures(load.answered, what)


def for_seconds(seconds: float, questions: Sequence[Question]) -> Iterator[Question]:
    """These, over and over for so long."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        yield questions[number % len(questions)]
        number += 1
