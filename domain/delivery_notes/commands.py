"""Giving a fulfillment its delivery note."""

from collections.abc import Sequence
from uuid import UUID

from domain import rules, search
from domain.actors import Actor, Scope
from domain.change import Target, UnitOfWork, change, command
from domain.delivery_notes.building import Issuer, build, checked_locale
from domain.delivery_notes.numbers import take_number
from domain.errors import InvalidInput, NotFound
from domain.events import DeliveryNoteCreated
from domain.fulfillments.packing import Packing
from models import DeliveryNote, Fulfillment
from models.engine.fields import new_key
from models.enums import FulfillmentState


@command(Scope.FULFILLMENT_WRITE)
async def create_delivery_note(
    *,
    actor: Actor,
    target: Target,
    issuer: Issuer,
    fulfillment_id: UUID | None = None,
    replaces: UUID | None = None,
    locale: str | None = None,
) -> DeliveryNote:
    """Return the delivery note of a fulfillment. Create it, with a number of its own, if there is none.

    By default it is that of the open fulfillment. If none is open, one is opened for all that is left. If nothing is
    left, the only fulfillment that has left is meant. With `replaces`, a corrected note is created in place of that
    one, from the order as it is now.
    """
    locale = checked_locale(locale)
    note = None
    async with change(actor) as work:
        order = await work.lock_order(target)
        rules.require_status(order.status, rules.TRACKABLE, "be given a delivery note")
        notes = await DeliveryNote.filter(order_id=order.id).order_by("position")
        packing = await Packing.open(work, order)
        old = _replaced(notes, replaces, fulfillment_id)
        fulfillment = _fulfillment(packing, old.fulfillment_id if old else fulfillment_id)
        note = next((each for each in reversed(notes) if each.fulfillment_id == fulfillment.id), None)
        if note is None or note is old:  # otherwise it was created, or replaced, before
            await packing.write()
            note = await _create(work, packing, fulfillment, issuer, old, locale)
        work.result_id = note.id
    return note or await DeliveryNote.get(id=work.result_id)


def _replaced(notes: Sequence[DeliveryNote], replaces: UUID | None, fulfillment_id: UUID | None) -> DeliveryNote | None:
    """Return the note to be replaced, if any. Raise `NotFound`, or `InvalidInput` for another fulfillment's note."""
    if replaces is None:
        return None
    old = next((each for each in notes if each.id == replaces), None)
    if old is None:
        raise NotFound("The order has no such delivery note.", "replaces")
    if fulfillment_id not in (None, old.fulfillment_id):
        raise InvalidInput("This is the delivery note of another fulfillment.", "replaces")
    return old


def _fulfillment(packing: Packing, fulfillment_id: UUID | None) -> Fulfillment:
    """Return the fulfillment. Raise `InvalidInput` if several are possible, `NothingToShip` if nothing is left."""
    if fulfillment_id is not None:
        return packing.find(fulfillment_id)
    candidates = packing.in_state(FulfillmentState.OPEN)
    if not candidates and not packing.free_units():
        candidates = packing.in_state(FulfillmentState.SHIPPED)
    if len(candidates) > 1:
        raise InvalidInput("The order has several fulfillments: say which one.", "fulfillment_id")
    return candidates[0] if candidates else packing.open_rest()


async def _create(
    work: UnitOfWork,
    packing: Packing,
    fulfillment: Fulfillment,
    issuer: Issuer,
    old: DeliveryNote | None,
    locale: str | None,
) -> DeliveryNote:
    order, replaces = work.order, old.number if old else None
    number = await take_number(issuer.series, work.now.astimezone(issuer.time_zone).year)
    content = await build(
        issuer, order, fulfillment, packing, locale=locale, number=number, replaces=replaces, now=work.now
    )
    note = await DeliveryNote.create(
        id=new_key(),
        order_id=order.id,
        fulfillment_id=fulfillment.id,
        position=old.position + 1 if old else 1,
        number=number,
        locale=content.locale,
        document=content.as_data(),
        created_at=work.now,
    )
    await search.add_terms(order.id, [number])
    work.record(order, DeliveryNoteCreated(note.id, fulfillment.id, number, old.id if old else None, replaces))
    return note
