"""The texts by whose beginning an order is found."""

import unicodedata
from collections.abc import Iterable
from uuid import UUID

from models import SearchTerm
from models.engine.fields import new_key
from models.engine.statements import Write, insert, write

LONGEST = 255
_LAST_CHARACTER = "\U0010ffff"


def normalize(text: str) -> str:
    """Normalize a search term: lower case, single spaces, without the # of an order number.

    Letters that can be written with one character or with several (é) are written with one (Unicode NFC).
    """
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    return " ".join(plain.removeprefix("#").split())[:LONGEST]


def name_terms(name: str | None) -> list[str]:
    """Return the name from each of its words on, so that "Norman" finds Bob Norman."""
    words = (name or "").split()
    return [" ".join(words[start:]) for start in range(min(len(words), 6))]


def prefix_range(text: str) -> tuple[str, str]:
    """Return the range of terms that begin with the text: from the first of the two to below the second."""
    prefix = normalize(text)[: LONGEST - 1]  # leaves room for the last character
    return prefix, prefix + _LAST_CHARACTER


def new_terms(order_id: UUID, texts: Iterable[str | None], personal: Iterable[str | None] = ()) -> list[Write]:
    """Return what adds these texts to those by which the order is found.

    Only callers who may see personal data find it by the `personal` ones.
    """
    is_personal = dict.fromkeys(_normalize_all(personal), True) | dict.fromkeys(_normalize_all(texts), False)
    rows = [
        {"id": new_key(), "order_id": order_id, "term": term, "personal": each}
        for term, each in sorted(is_personal.items())
    ]
    return [insert(SearchTerm, rows, unless_there=True)] if rows else []


def _normalize_all(texts: Iterable[str | None]) -> set[str]:
    return {normalize(text) for text in texts if text} - {""}


async def add_terms(order_id: UUID, texts: Iterable[str | None]) -> None:
    """Let the order be found by these texts, too. Call this inside a `change`."""
    await write(*new_terms(order_id, texts))


async def remove_term(order_id: UUID, text: str) -> None:
    await SearchTerm.filter(order_id=order_id, term=normalize(text)).delete()
