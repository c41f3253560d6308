"""How much callers may have open at a time. Each process counts its own."""

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from starlette.types import Scope

from api.rates import address_of, network_of
from api.settings import Settings

_SUBSCRIPTIONS: Final = "subscriptions with one token"
_UNCOUNTED: Final = nullcontext()  # one for all: each socket would keep its own as long as it is open


class TooManyOpen(Exception):
    """The caller has as many open as it may: how many of what is the message."""


class OpenCounts:
    """Connections that stay (WebSockets and event streams), and subscriptions.

    A connection is counted while the block runs; entering it raises `TooManyOpen`. What is not limited is not counted.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: Counter[tuple[str, str]] = Counter()

    def connection_from(self, scope: Scope) -> AbstractContextManager[None]:
        most = self._settings.max_connections_per_address
        return self._one_more("connections from one address", network_of(address_of(scope)), most)

    def connection_of(self, caller: str) -> AbstractContextManager[None]:
        return self._one_more("connections with one token", caller, self._settings.max_connections_per_token)

    def add_subscription(self, caller: str) -> None:
        """Until `remove_subscription`. Raises `TooManyOpen`."""
        most = self._settings.max_subscriptions_per_token
        if most is not None:
            self._add(_SUBSCRIPTIONS, caller, most)

    def remove_subscription(self, caller: str) -> None:
        if self._settings.max_subscriptions_per_token is not None:
            self._remove(_SUBSCRIPTIONS, caller)

    def _one_more(self, what: str, whose: str, most: int | None) -> AbstractContextManager[None]:
        return _UNCOUNTED if most is None else self._counted(what, whose, most)

    @contextmanager
    def _counted(self, what: str, whose: str, most: int) -> Iterator[None]:
        self._add(what, whose, most)
        try:
            yield
        finally:
            self._remove(what, whose)

    def _add(self, what: str, whose: str, most: int) -> None:
        if self._open[what, whose] >= most:
            raise TooManyOpen(f"There may be at most {most:,} {what}.")
        self._open[what, whose] += 1

    def _remove(self, what: str, whose: str) -> None:
        self._open[what, whose] -= 1
        if not self._open[what, whose]:
            del self._open[what, whose]
