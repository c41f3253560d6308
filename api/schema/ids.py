"""Global ids: made for answers, and read from what callers send."""

import base64
import binascii
from uuid import UUID

import strawberry

from domain.errors import InvalidInput
from domain.global_ids import global_id

_MALFORMED = "This is not an id that this API has given out."


def encode(type_name: str, key: UUID | int) -> strawberry.ID:
    return strawberry.ID(global_id(type_name, key))


def split(global_id: str, *field: str | int) -> tuple[str, str]:
    """Return the type's name and the key as text. Raise `InvalidInput`."""
    try:
        type_name, separator, key = base64.b64decode(global_id, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        raise InvalidInput(_MALFORMED, *field) from None
    if not (separator and type_name.isascii() and type_name.isidentifier()):
        raise InvalidInput(_MALFORMED, *field)
    return type_name, key


def decode(type_name: str, global_id: str, *field: str | int) -> UUID:
    """Return the key of an id of this type. Raise `InvalidInput`, also for an id of another type."""
    found, key = split(global_id, *field)
    if found != type_name:
        raise InvalidInput(f"This is not the id of {_article(type_name)}.", *field)
    return parse_key(key, *field)


def parse_key(key: str, *field: str | int) -> UUID:
    try:
        return UUID(key)
    except ValueError:
        raise InvalidInput(_MALFORMED, *field) from None


def parse_position(key: str, *field: str | int) -> int:
    """Return an event's key, which is its position in the log."""
    if not (key.isascii() and key.isdigit() and len(key) < 19):
        raise InvalidInput(_MALFORMED, *field)
    return int(key)


def _article(type_name: str) -> str:
    return f"an {type_name}" if type_name[0] in "AEIOU" else f"a {type_name}"
