"""Delivery notes as files. Each is rendered once and stored, and never changes again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.actors import Actor
from domain.change import Target
from domain.delivery_notes.commands import create_delivery_note
from domain.delivery_notes.content import NoteContent
from domain.delivery_notes.queries import store_file, stored_files
from domain.errors import DomainError, InvalidInput, NotFound
from domain.orders.queries import get_fulfillment
from effects.delivery_notes.renderer import Renderer
from effects.delivery_notes.settings import Merchant
from effects.merchant.texts import fill_in
from models import DeliveryNote

MOST_AT_ONCE: Final = 100
_CONCURRENCY: Final = 4  # notes of one request at the same time, so that others can print, too


@dataclass(frozen=True, slots=True)
class Printed:
    """The outcome for one fulfillment. A note that could not be rendered has a number and a `refusal`."""

    fulfillment_id: UUID
    note: DeliveryNote | None
    refusal: DomainError | None = None


class Printing:
    """The merchant's delivery notes. `close` ends the processes that render them."""

    def __init__(self, merchant: Merchant, renderer: Renderer) -> None:
        self._merchant = merchant
        self._renderer = renderer

    async def create(
        self,
        *,
        actor: Actor,
        target: Target,
        fulfillment_id: UUID | None = None,
        replaces: UUID | None = None,
        locale: str | None = None,
    ) -> Printed:
        """Create a delivery note and render it. Raise RenderingUnavailable before anything is changed."""
        await self._renderer.require()
        note = await create_delivery_note(
            actor=actor,
            target=target,
            issuer=self._merchant,
            fulfillment_id=fulfillment_id,
            replaces=replaces,
            locale=locale,
        )
        try:
            await self.file(note)
        except DomainError as refusal:
            return Printed(note.fulfillment_id, note, refusal)
        return Printed(note.fulfillment_id, note)

    async def create_all(
        self, *, actor: Actor, fulfillment_ids: Sequence[UUID], locale: str | None = None
    ) -> list[Printed]:
        """Create the notes of these fulfillments, in their order. A refusal of one does not stop the others.

        Raise InvalidInput for none or more than `MOST_AT_ONCE`, and RenderingUnavailable.
        """
        if not 1 <= len(fulfillment_ids) <= MOST_AT_ONCE:
            raise InvalidInput(f"Name 1 to {MOST_AT_ONCE} fulfillments.", "fulfillment_ids")
        await self._renderer.require()
        free = asyncio.Semaphore(_CONCURRENCY)

        async def one(index: int, fulfillment_id: UUID) -> Printed:
            async with free:
                try:
                    fulfillment = await get_fulfillment(actor, fulfillment_id)
                    if fulfillment is None:
                        raise NotFound("There is no such fulfillment.", "fulfillment_ids", index)
                    target = Target(fulfillment.order_id)
                    return await self.create(actor=actor, target=target, fulfillment_id=fulfillment_id, locale=locale)
                except DomainError as refusal:
                    return Printed(fulfillment_id, None, refusal)

        return await asyncio.gather(*(one(index, each) for index, each in enumerate(fulfillment_ids)))

    async def file(self, note: DeliveryNote) -> bytes:
        """Return the note as a PDF, always the same. Raise RenderingFailed, RenderingBusy and RenderingUnavailable."""
        return (await self._files([note]))[0]

    def file_name(self, note: DeliveryNote) -> str:
        """Return the file's name for a download."""
        texts = self._merchant.presentation(note.document["channel_code"]).texts[note.locale]
        return f"{fill_in(texts['title'], {'number': note.number})}.pdf"

    async def merge(self, notes: Sequence[DeliveryNote]) -> bytes:
        """Return all of them in one PDF, in this order. Raise as `file` does."""
        files = await self._files(notes)
        return await self._renderer.merge(files, ", ".join(note.number for note in notes))

    async def _files(self, notes: Sequence[DeliveryNote]) -> list[bytes]:
        files = await stored_files([note.id for note in notes])
        for note in notes:  # usually all are stored, because they are rendered when they are created
            if note.id not in files:
                content = NoteContent.from_data(note.document)
                file = await self._renderer.render(content, self._merchant.presentation(content.channel_code))
                files[note.id] = await store_file(note.id, file)
        return [files[note.id] for note in notes]

    def stop(self) -> None:
        """Begin no file any more. What is being rendered goes on until `close`."""
        self._renderer.stop()

    async def close(self) -> None:
        await self._renderer.close()
