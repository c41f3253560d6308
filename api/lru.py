"""A cache of limited size."""

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_ABSENT: Final[Any] = object()


class LRUCache(Generic[Key, Value]):
    """Keeps the entries that were used last. Drops the least recently used ones while the cache is over its limit.

    Without `weigh`, the limit is a number of entries. With it, the limit is the sum of the values' weights.
    """

    __slots__ = ("_entries", "_limit", "_weigh", "_weight")

    def __init__(self, limit: int, weigh: Callable[[Value], int] | None = None) -> None:
        self._limit = limit
        self._weigh = weigh
        self._weight = 0
        self._entries: dict[Key, Value] = {}  # the least recently used first

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        """Return whether there is such an entry. This does not count as use."""
        return key in self._entries

    def get(self, key: Key) -> Value | None:
        """Return the value, or None if there is no such entry."""
        value = self._entries.pop(key, _ABSENT)
        if value is _ABSENT:
            return None
        self._entries[key] = value
        return value  # type: ignore[no-any-return]

    def put(self, key: Key, value: Value) -> None:
        """Add or replace an entry. Do not keep a value that is over the limit by itself."""
        self._remove(key)
        weight = 1 if self._weigh is None else self._weigh(value)
        if weight > self._limit:
            return
        self._entries[key] = value
        self._weight += weight
        while self._weight > self._limit:
            self._remove(next(iter(self._entries)))

    def clear(self) -> None:
        self._entries.clear()
        self._weight = 0

    def _remove(self, key: Key) -> None:
        value = self._entries.pop(key, _ABSENT)
        if value is not _ABSENT:
            self._weight -= 1 if self._weigh is None else self._weigh(value)
