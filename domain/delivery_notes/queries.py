"""Delivery notes that exist already, and their files."""

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from domain.actors import Actor
from models import DeliveryNote, DeliveryNoteFile


async def find_delivery_notes(actor: Actor | None, ids: Collection[UUID]) -> dict[UUID, DeliveryNote]:
    """Return the notes that exist for the actor, with their `order`. None stands for a signed link, which shows all."""
    notes = await DeliveryNote.filter(id__in=list(ids)).select_related("order")
    return {note.id: note for note in notes if actor is None or actor.sees(note.order.channel_id)}


async def stored_files(note_ids: Collection[UUID]) -> dict[UUID, bytes]:
    """Return the files of the notes that have been rendered."""
    rows = await DeliveryNoteFile.filter(delivery_note_id__in=list(note_ids))
    return {row.delivery_note_id: row.content for row in rows}


async def store_file(note_id: UUID, content: bytes) -> bytes:
    """Keep the note's file for good. What it had first stays, and is what is answered."""
    row = DeliveryNoteFile(delivery_note_id=note_id, content=content, created_at=datetime.now(UTC))
    await DeliveryNoteFile.bulk_create([row], ignore_conflicts=True)
    return (await stored_files([note_id]))[note_id]
