"""Turns for work that keeps the event loop busy: one piece in each pass of the loop, one caller after another.

Everything else runs between two pieces, however many pieces wait.
"""

import asyncio
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary

from models.engine.shares import caller_now

REST: Final = 0.25  # of the time that a turn took, before the next one begins


class _Turns:
    """The tasks that wait for a turn in one event loop: a queue for each caller.

    After each turn the loop is left alone for a while. Another caller's request needs several passes, because it waits
    for the database. With a turn in each pass it would take as many turns.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[str | None, deque[asyncio.Future[None]]] = {}
        self._is_scheduled = False
        self._begun = 0.0
        self._next_at = 0.0

    def enqueue(self, caller: str | None, future: asyncio.Future[None]) -> None:
        self._waiting.setdefault(caller, deque()).append(future)
        if not self._is_scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._is_scheduled = True
        if self._next_at > self._loop.time():
            self._loop.call_at(self._next_at, self._next)
        else:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            caller, queue = next(iter(self._waiting.items()))
            future = queue.popleft()
            del self._waiting[caller]
            if queue:
                self._waiting[caller] = queue  # behind all others
            if not future.done():  # it was not cancelled
                future.set_result(None)
                self._begun = self._loop.time()
                self._loop.call_soon(self._rest)  # right after the turn, which is in the loop's queue already
                return
        self._is_scheduled = False

    def _rest(self) -> None:
        now = self._loop.time()
        self._next_at = now + (now - self._begun) * REST
        self._is_scheduled = False
        if self._waiting:
            self._schedule()


_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns]] = WeakKeyDictionary()


async def take_turn() -> None:
    """Wait until it is this task's turn to work for some milliseconds without a pause."""
    loop = asyncio.get_running_loop()
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = _Turns(loop)
    future = loop.create_future()
    turns.enqueue(caller_now(), future)
    await future
