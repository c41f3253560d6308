"""The texts by whose beginning an order is found."""

import unicodedata
from collections.abc import Iterable
from uuid import UUID

from models import SearchTerm
from models.fields import new_key
from models.statements import Write, insert, write

LONGEST = 255
_LAST_CHARACTER = "\U0010ffff"


def normalize(text: str) -> str:
    """As terms are kept and looked up: lower case, single spaces, without the # of an order number.

    Letters that can be written with one character or with several (é) are written with one.
    """
    plain = unicodedata.normalize("NFKC", text).casefold().strip()
    return " ".join(plain.removeprefix("#").split())[:LONGEST]


def name_terms(name: str | None) -> list[str]:
    """The name from each of its words on, so that "Norman" finds Bob Norman."""
    words = (name or "").split()
    return [" ".join(words[start:]) for start in range(min(len(words), 6))]


def prefix_range(text: str) -> tuple[str, str]:
    """The terms that begin with the text are those from the first of the two to below the second."""
    prefix = normalize(text)[: LONGEST - 1]  # leaves room for the last character
    return prefix, prefix + _LAST_CHARACTER


def new_terms(order_id: UUID, texts: Iterable[str | None]) -> list[Write]:
    """The order is found by these texts too, once this is written."""
    terms = {normalize(text) for text in texts if text} - {""}
    rows = [{"id": new_key(), "order_id": order_id, "term": term} for term in sorted(terms)]
    return [insert(SearchTerm, rows, unless_there=True)] if rows else []


async def add_terms(order_id: UUID, texts: Iterable[str | None]) -> None:
    """Inside a `change`: the order is found by these texts too."""
    await write(*new_terms(order_id, texts))


async def remove_term(order_id: UUID, text: str) -> None:
    await SearchTerm.filter(order_id=order_id, term=normalize(text)).delete()
