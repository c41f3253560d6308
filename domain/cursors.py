"""Opaque cursors: where a page ended, in a form that callers keep and give back."""

import base64
import binascii
from typing import Any, Final
from uuid import UUID

import orjson

from domain.errors import InvalidInput

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def encode(*parts: Any) -> str:
    encoded = binascii.b2a_base64(orjson.dumps(parts), newline=False)
    return encoded.translate(_URL_SAFE).rstrip(b"=").decode()


def decode(cursor: str, kind: str, length: int, field: str, *, optional: int = 0) -> list[Any]:
    """Return the `length` parts after the kind, and the `optional` ones after them: `None` if they are not there.

    Raise `InvalidInput` for what `encode` has not made for this kind of page.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        parts = None
    if not isinstance(parts, list) or not length < len(parts) <= length + 1 + optional or parts[0] != kind:
        raise InvalidInput("This is not a cursor of this list.", field)
    return parts[1:] + [None] * (length + 1 + optional - len(parts))


def decode_key(cursor: str, kind: str, field: str) -> UUID:
    """Return the key after the kind, in a list that is sorted by its keys alone. Raise as `decode` does."""
    [key] = decode(cursor, kind, 1, field)
    try:
        return UUID(key)
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput("This is not a cursor of this list.", field) from None
