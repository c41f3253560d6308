"""Limits on what callers may have open at a time. Each process counts its own."""

import resource
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from starlette.types import Scope

from api.callers.rates import address_of, network_of
from api.callers.slots import Slots
from api.settings import Settings

COUNTED: Final = "orderstream.counted"  # among a scope's extensions if its connection is counted for its address

_LONGEST_BACKLOG: Final = 2048
_FROM_ADDRESS: Final = "connections from one address"
_SUBSCRIPTIONS: Final = "subscriptions with one token"
_UNCOUNTED: Final = nullcontext()  # one for all: each socket would keep its own as long as it is open


class TooManyOpen(Exception):
    """The caller has as many open as it may. The message says how many of what."""


def most_connections(settings: Settings) -> int | None:
    """Return how many connections this process may hold, or None if its files are not limited.

    By default some files are left for everything else. A burst of new connections may take half of these, because
    they are accepted before they can be counted.
    """
    if settings.max_connections is not None:
        return settings.max_connections
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if files == resource.RLIM_INFINITY else files - _spare_files(files)


def listen_backlog() -> int:
    """Return how many connections the system may accept while the process is busy."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _LONGEST_BACKLOG if files == resource.RLIM_INFINITY else max(1, _spare_files(files) // 2)


def _spare_files(files: int) -> int:
    return min(files // 4, 2 * _LONGEST_BACKLOG)


class OpenCounts:
    """Counts open connections and subscriptions, and limits the `operations` (queries and mutations) that run.

    The connection of a WebSocket, an event stream or a request is counted while the block runs. Entering the block
    raises `TooManyOpen`. What has no limit is not counted.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: Counter[tuple[str, str]] = Counter()
        self.operations = Slots(settings.max_operations_per_token)
        most = most_connections(settings)
        self._most_per_address = settings.max_connections_per_address or (most and max(1, most // 2))

    def connection_from(self, scope: Scope) -> AbstractContextManager[None]:
        """Count a connection for the address that a trusted proxy gives. Others were counted when they were made."""
        if COUNTED in scope.get("extensions", ()):
            return _UNCOUNTED
        return self._one_more(_FROM_ADDRESS, network_of(address_of(scope)), self._most_per_address)

    def add_connection(self, network: str) -> None:
        """Count a connection that a client has made itself, until `remove_connection`. Raise TooManyOpen."""
        if self._most_per_address is not None:
            self._add(_FROM_ADDRESS, network, self._most_per_address)

    def remove_connection(self, network: str) -> None:
        if self._most_per_address is not None:
            self._remove(_FROM_ADDRESS, network)

    def connection_of(self, caller: str) -> AbstractContextManager[None]:
        return self._one_more("connections with one token", caller, self._settings.max_connections_per_token)

    def add_subscription(self, caller: str) -> None:
        """Count a subscription until `remove_subscription`. Raise `TooManyOpen`."""
        most = self._settings.max_subscriptions_per_token
        if most is not None:
            self._add(_SUBSCRIPTIONS, caller, most)

    def remove_subscription(self, caller: str) -> None:
        if self._settings.max_subscriptions_per_token is not None:
            self._remove(_SUBSCRIPTIONS, caller)

    def _one_more(self, what: str, whose: str, most: int | None) -> AbstractContextManager[None]:
        return _UNCOUNTED if most is None else _Counted(self, what, whose, most)

    def _add(self, what: str, whose: str, most: int) -> None:
        if self._open[what, whose] >= most:
            raise TooManyOpen(f"There may be at most {most:,} {what}.")
        self._open[what, whose] += 1

    def _remove(self, what: str, whose: str) -> None:
        self._open[what, whose] -= 1
        if not self._open[what, whose]:
            del self._open[what, whose]


class _Counted:
    """Counts one more while the block runs. A generator would take four times the memory:
    docs/decisions/0012-hot-paths.md.
    """

    __slots__ = ("_counts", "_most", "_what", "_whose")

    def __init__(self, counts: OpenCounts, what: str, whose: str, most: int) -> None:
        self._counts = counts
        self._what = what
        self._whose = whose
        self._most = most

    def __enter__(self) -> None:
        self._counts._add(self._what, self._whose, self._most)

    def __exit__(self, *_: object) -> None:
        self._counts._remove(self._what, self._whose)
