"""The GraphQL documents that an operator has registered: all that some callers may send."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tortoise.expressions import Q

from domain.actors import Actor, Scope
from domain.change import change, command
from domain.errors import InvalidInput, NotFound
from domain.validation import storable
from models import RegisteredDocument
from models.engine.rows import remove, save

LONGEST_TEXT: Final = 100_000  # characters
LONGEST_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class Document:
    """`text` is sent as it is here, to the character. `identifier` may be sent instead, as may the text's hash."""

    text: str
    name: str
    identifier: str | None = None


def hash_of(text: str) -> str:
    """Return the SHA-256 of a document, by which clients call it: 64 hexadecimal digits.

    Raise `UnicodeEncodeError` for a text that is not Unicode.
    """
    return hashlib.sha256(text.encode()).hexdigest()


@command(Scope.SETTINGS_WRITE)
async def register_documents(*, actor: Actor, documents: Sequence[Document]) -> list[RegisteredDocument]:
    """Register all of them or none. One that is registered stays. Raise `InvalidInput`, which names the document."""
    async with change(actor):
        return [await _register(document) for document in documents]


async def _register(document: Document) -> RegisteredDocument:
    if not storable(document.text, LONGEST_TEXT):
        raise InvalidInput(f"{document.name} is too long, or holds a character that cannot be stored.", "text")
    key = hash_of(document.text)
    identifier = None if document.identifier == key else document.identifier
    row = await RegisteredDocument.get_or_none(hash=key)
    if identifier is not None:
        await _require_free(identifier, key)
    if row is None:
        name, now = document.name[:LONGEST_NAME], datetime.now(UTC)
        return await RegisteredDocument.create(
            hash=key, identifier=identifier, text=document.text, name=name, registered_at=now
        )
    if identifier is not None and row.identifier != identifier:
        row.identifier = identifier
        await save(row, "identifier")
    return row


async def _require_free(identifier: str, key: str) -> None:
    """Raise `InvalidInput` if it cannot be an identifier, or means another document already."""
    if not identifier or not storable(identifier, LONGEST_NAME):
        raise InvalidInput("An identifier has 1 to 255 characters.", "identifier")
    if re.fullmatch("[0-9a-f]{64}", identifier):
        raise InvalidInput(f"{identifier} looks like a hash, but is not that of its document.", "identifier")
    if await RegisteredDocument.filter(identifier=identifier).exclude(hash=key).exists():
        raise InvalidInput(f"{identifier} is another document already: remove that first.", "identifier")


async def list_documents(*, actor: Actor) -> list[RegisteredDocument]:
    actor.require(Scope.SETTINGS_WRITE)
    return await RegisteredDocument.all().order_by("registered_at", "hash")


@command(Scope.SETTINGS_WRITE)
async def remove_document(*, actor: Actor, identifier: str) -> RegisteredDocument:
    """Take a document off the list, by its hash or identifier. Raise `NotFound`."""
    row = await _find(identifier)
    if row is None:
        raise NotFound("There is no such document.", "identifier")
    await remove(row)
    return row


async def registered_text(identifier: str) -> str | None:
    """Return the document of this hash or identifier."""
    row = await _find(identifier) if storable(identifier, LONGEST_NAME) else None
    return None if row is None else row.text


async def _find(identifier: str) -> RegisteredDocument | None:
    return await RegisteredDocument.get_or_none(Q(hash=identifier) | Q(identifier=identifier))
