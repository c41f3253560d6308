"""Answers to queries for the schema. They stay the same for as long as the process runs."""

import itertools
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson

from api.execution.operations import Operation
from api.lru import LRUCache

MOST_BYTES: Final = 16 * 1024 * 1024  # of all that are kept; a usual introspection has 200 kB
_BYTES_BESIDES: Final = 500  # that an answer takes besides its own


class SchemaAnswers:
    """Keeps the encoded answers that were asked for last."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._answers: LRUCache[tuple[int, bytes], bytes] = LRUCache(most_bytes, _size)
        self._numbers: WeakKeyDictionary[Operation, int] = WeakKeyDictionary()
        self._next_number = itertools.count()

    def find(self, operation: Operation, variables: dict[str, Any] | None) -> bytes | None:
        """Return the answer in JSON, or None if it is not kept."""
        key = self._key(operation, variables)
        return None if key is None else self._answers.get(key)

    def keep(self, operation: Operation, variables: dict[str, Any] | None, answer: bytes) -> None:
        """Keep the answer, in place of those that were asked for least recently, if it can be found again."""
        if not operation.is_kept:
            return
        key = self._key(operation, variables)
        if key is not None and key not in self._answers:
            self._answers.put(key, answer)

    def _key(self, operation: Operation, variables: dict[str, Any] | None) -> tuple[int, bytes] | None:
        """Return what tells answers apart, or None for variables that cannot be encoded."""
        number = self._numbers.get(operation)
        if number is None:  # unlike an address, a number is not used again
            number = self._numbers[operation] = next(self._next_number)
        declared = [each.variable.name.value for each in operation.definition.variable_definitions or ()]
        given = [(name, variables[name]) for name in declared if name in variables] if variables else []
        try:
            return number, orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
        except TypeError:
            return None


def _size(answer: bytes) -> int:
    return len(answer) + _BYTES_BESIDES


schema_answers: Final = SchemaAnswers()
