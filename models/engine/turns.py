"""Turns for work that keeps the event loop busy: one piece in each pass of the loop, and one caller after another.

Between two pieces everything else has its turn, however many pieces wait.
"""

import asyncio
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

from models.engine.shares import caller_now


class _Turns:
    """Those who wait in one event loop: a queue for each caller."""

    def __init__(self) -> None:
        self._waiting: dict[str | None, deque[asyncio.Future[None]]] = {}

    def enqueue(self, caller: str | None, future: asyncio.Future[None]) -> None:
        if not self._waiting:
            future.get_loop().call_soon(self._next)
        self._waiting.setdefault(caller, deque()).append(future)

    def _next(self) -> None:
        while self._waiting:
            caller, queue = next(iter(self._waiting.items()))
            future = queue.popleft()
            del self._waiting[caller]
            if queue:
                self._waiting[caller] = queue  # behind all others
            if not future.done():  # it was not cancelled
                future.set_result(None)
                if self._waiting:
                    future.get_loop().call_soon(self._next)
                return


_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]] = WeakKeyDictionary()


async def take_turn() -> None:
    """Wait until it is this task's turn to work for some milliseconds without a pause."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns()
    future = loop.create_future()
    turns.enqueue(caller_now(), future)
    await future
