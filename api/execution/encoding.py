"""Answers as JSON."""

import sys
from collections.abc import Iterator
from typing import Any, Final

import orjson

from models.engine.turns import take_turn

DEEPEST: Final = 20  # levels of an answer that are taken apart
PIECE_BYTES: Final = 100_000  # that are encoded without a pause


def encode(value: Any) -> bytes:
    """Return the value as JSON. Raise `TypeError` for what is nested too deeply, or is not Unicode."""
    return orjson.dumps(value, default=str)


async def encode_in_turns(value: Any, most_bytes: int = sys.maxsize) -> bytes | None:
    """Return the value as JSON, encoded in pieces with a turn for everything else between them.

    Return None as soon as it has more than `most_bytes`.
    """
    pieces: list[bytes] = []
    size = since_turn = 0
    for piece in _pieces(value, DEEPEST):
        pieces.append(piece)
        size += len(piece)
        since_turn += len(piece)
        if size > most_bytes:
            return None
        if since_turn > PIECE_BYTES:
            since_turn = 0
            await take_turn()
    return b"".join(pieces)


def _pieces(value: Any, levels: int) -> Iterator[bytes]:
    """Yield the JSON of each object in a list, or what is around one, down to so many levels."""
    if not levels:
        yield encode(value)
    elif isinstance(value, dict) and _has_lists(value):
        start = b"{"
        for key, each in value.items():
            yield start + encode(key) + b":"
            yield from _pieces(each, levels - 1)
            start = b","
        yield b"}"
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        start = b"["
        for each in value:
            yield start
            yield from _pieces(each, levels - 1)
            start = b","
        yield b"]"
    else:
        yield encode(value)


def _has_lists(value: dict[str, Any]) -> bool:
    """Return whether there is a list in the object, or in an object right below it."""
    return any(
        isinstance(each, list)
        or (isinstance(each, dict) and any(isinstance(one, (dict, list)) for one in each.values()))
        for each in value.values()
    )
