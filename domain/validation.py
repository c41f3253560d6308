"""Checks of what callers send, before anything is changed. Each names the field at fault."""

import re
from datetime import UTC, datetime

from domain.errors import InvalidInput

MAX_QUANTITY = 1_000_000
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


def storable(text: str, longest: int) -> bool:
    """Return whether a column of that length could hold the text. If not, no row is found by it."""
    return len(text) <= longest and "\x00" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def optional_text(value: str | None, *field: str | int, longest: int) -> str | None:
    """Return the text without surrounding space, or None if nothing is left.

    Raise `InvalidInput` for more than `longest` characters, and for characters that no database text may hold.
    """
    if value is None:
        return None
    value = value.strip()
    if len(value) > longest:
        raise InvalidInput(f"This is {len(value)} characters long; {longest} are allowed.", *field)
    if not storable(value, longest):
        raise InvalidInput("This holds a character that cannot be stored.", *field)
    return value or None


def required_text(value: str, *field: str | int, longest: int) -> str:
    """Return the text as `optional_text` does. Raise `InvalidInput` if nothing is left."""
    text = optional_text(value, *field, longest=longest)
    if text is None:
        raise InvalidInput("This must not be empty.", *field)
    return text


def matching(value: str | None, pattern: str, hint: str, *field: str | int) -> str | None:
    """Return the value. Raise `InvalidInput` with the hint if it does not match the pattern."""
    if value is not None and not re.fullmatch(pattern, value):
        raise InvalidInput(hint, *field)
    return value


def link(value: str | None, *field: str | int, longest: int) -> str | None:
    """Return the address, which is shown to people as a link. It must begin with http or https."""
    hint = "This must be an address that starts with http:// or https://."
    return matching(optional_text(value, *field, longest=longest), r"https?://\S+", hint, *field)


def quantity(value: int, *field: str | int) -> int:
    if not 1 <= value <= MAX_QUANTITY:
        raise InvalidInput(f"A quantity is a whole number from 1 to {MAX_QUANTITY}.", *field)
    return value


def moment(value: datetime, *field: str | int) -> datetime:
    """Return the time in UTC. A time without a zone is taken as UTC."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    if not _EARLIEST <= value <= _LATEST:
        raise InvalidInput("This time is out of range.", *field)
    return value.astimezone(UTC)
