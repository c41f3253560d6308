"""Limits how many of a process's database connections one caller may hold at the same time.

Otherwise a caller with a hundred slow queries would take the whole pool, and everybody else would wait.
"""

import asyncio
from contextvars import ContextVar
from typing import Final
from weakref import WeakValueDictionary

_caller: Final[ContextVar[str | None]] = ContextVar("caller", default=None)


def act_for(caller: str) -> None:
    """Count the connections that this task, and every task that it begins, takes from now on as the caller's."""
    _caller.set(caller)


def caller_now() -> str | None:
    """Return the caller that this task works for; None if it works for the server itself."""
    return _caller.get()


class Shares:
    """Each caller's share of a pool: half of its connections. What the server does for itself has no limit."""

    def __init__(self) -> None:
        self._shares: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def of_this_caller(self, pool_size: int) -> asyncio.Semaphore | None:
        """Return what must be acquired before a connection is, and released after it. None if there is no caller."""
        caller = caller_now()
        if caller is None:
            return None
        share = self._shares.get(caller)
        if share is None:
            share = self._shares[caller] = asyncio.Semaphore(max(1, pool_size // 2))
        return share
