"""Delivery notes: their numbers, what they show of an order, and that both stay."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from domain.actors import Forbidden, Scope
from domain.change import change
from domain.delivery_notes.building import Issuer
from domain.delivery_notes.commands import create_delivery_note
from domain.delivery_notes.content import Letterhead, NoteContent, Parcel, Position
from domain.delivery_notes.numbers import NumberSeries, take_number
from domain.delivery_notes.queries import find_delivery_notes, store_file, stored_files
from domain.errors import DomainError, ErrorCode
from domain.fulfillments.commands import (
    TrackingInfo,
    add_tracking,
    mark_ready_to_ship,
    mark_shipped,
    remove_tracking,
    update_tracking,
)
from domain.fulfillments.packing import LineQuantity
from domain.orders.commands import add_order_note, cancel_order, confirm_order
from domain.orders.placing import NewAddress, NewCustomer, NewLine
from models import DeliveryNote, Order, SearchTerm
from models.enums import CancelReason
from tests.database import while_another_writes
from tests.domain.shop import (
    ADA,
    HAT,
    ISSUER,
    SOCKS,
    contents,
    fulfillments_of,
    last_event,
    lines_of,
    nothing_changes,
    numbers_of,
    on,
    once,
    place,
    refused,
    staff,
    types_of,
    units,
)

pytestmark = pytest.mark.usefixtures("database")


async def confirmed(**given: Any) -> Order:
    return await confirm_order(actor=ADA, target=on(await place(**given)))


async def note_of(order: Order, issuer: Issuer = ISSUER, **given: Any) -> DeliveryNote:
    return await create_delivery_note(**{"actor": ADA, "target": on(order), "issuer": issuer, **given})


def shown(note: DeliveryNote) -> NoteContent:
    return NoteContent.from_data(note.document)


def serial(note: DeliveryNote) -> int:
    return int(note.number.rpartition("-")[2])


async def test_a_note_has_a_number_and_is_told() -> None:
    order = await confirmed()
    note = await note_of(order)
    year = note.created_at.astimezone(ISSUER.time_zone).year
    assert note.number == f"LS-{year}-000001"
    assert await contents(order) == [("OPEN", [2, 1])]
    [fulfillment] = await fulfillments_of(order)
    assert note.fulfillment_id == fulfillment.id
    assert (await types_of(order))[2:] == ["FULFILLMENT_OPENED", "DELIVERY_NOTE_CREATED"]
    event = await last_event(order)
    assert event.message == f"Delivery note {note.number} was created."
    assert event.data == {
        "deliveryNoteId": str(note.id),
        "fulfillmentId": str(fulfillment.id),
        "number": note.number,
        "replacesId": None,
        "replacesNumber": None,
    }
    assert await SearchTerm.filter(order_id=order.id, term=note.number.lower()).exists()


@pytest.mark.postgres
async def test_a_number_that_is_being_taken_is_not_taken_again(database: str) -> None:
    """Who wants the next one waits. Otherwise most who create notes at the same time would have to try again."""
    await note_of(await confirmed())
    lock = "SELECT 1 FROM delivery_note_series FOR NO KEY UPDATE"
    take = "UPDATE delivery_note_series SET last_number = last_number + 1"
    note = await while_another_writes(database, lock, take, call=note_of(await confirmed()))
    assert serial(note) == 3


async def test_creating_it_again_changes_nothing() -> None:
    order = await confirmed()
    note = await note_of(order)
    async with nothing_changes():
        assert (await note_of(order)).id == note.id
        assert (await note_of(order, locale="en")).id == note.id


async def test_numbers_go_on_across_orders_and_fulfillments() -> None:
    first, second = await confirmed(), await confirmed()
    for lines in (await units(first, 1), None):
        await mark_ready_to_ship(actor=ADA, target=on(first), lines=lines)
    one, two = await fulfillments_of(first)
    notes = [
        await note_of(first, fulfillment_id=two.id),
        await note_of(second),
        await note_of(first, fulfillment_id=one.id),
    ]
    assert [serial(note) for note in notes] == [1, 2, 3]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (NumberSeries(), ["LS-2026-000001", "LS-2026-000002", "LS-2027-000001"]),
        (NumberSeries("BL", 3, yearly=False), ["BL-001", "BL-002", "BL-003"]),
        (NumberSeries("X", 1), ["X-2026-1", "X-2026-2", "X-2027-1"]),
    ],
)
async def test_what_numbers_look_like(series: NumberSeries, expected: list[str]) -> None:
    async with change(ADA):
        assert [await take_number(series, year) for year in (2026, 2026, 2027)] == expected


async def test_no_number_is_missing_and_none_is_there_twice_under_load() -> None:
    """Among the calls are refused ones, repetitions, and ones that are given up midway."""
    orders = [await confirmed() for _ in range(8)]
    pending = [await place() for _ in range(4)]

    async def outcome(call: Callable[[], Awaitable[DeliveryNote]]) -> DeliveryNote | ErrorCode:
        try:
            return await call()
        except DomainError as refusal:
            return refusal.code

    calls = [lambda order=order: note_of(order) for order in (*orders, *pending, *orders)]
    tasks = [asyncio.create_task(outcome(call)) for call in calls]
    broken = [asyncio.create_task(note_of(order)) for order in orders[:4]]
    for task in broken:
        asyncio.get_running_loop().call_later(0.01, task.cancel)
    outcomes = await asyncio.gather(*tasks)
    await asyncio.gather(*broken, return_exceptions=True)
    assert outcomes.count(ErrorCode.INVALID_TRANSITION) == 4
    notes = await DeliveryNote.all()
    assert len(notes) == 8
    assert sorted(serial(note) for note in notes) == list(range(1, 9))
    assert {note.id for note in outcomes if isinstance(note, DeliveryNote)} == {note.id for note in notes}


async def test_a_number_that_was_not_committed_is_taken_again() -> None:
    order = await confirmed()
    with pytest.raises(RuntimeError):  # noqa: PT012 - the number must have been taken before
        async with change(ADA):
            await note_of(order)
            raise RuntimeError
    assert serial(await note_of(order)) == 1


async def test_what_it_shows() -> None:
    socks = replace(SOCKS, variant_title="Red / 42", weight_grams=80)
    order = await confirmed(
        lines=(socks, HAT, NewLine(title="E-book", quantity=1, unit_price=Decimal("5.00"), requires_shipping=False)),
        customer=NewCustomer(name="Anna Muster", email="anna@example.com"),
        shipping_address=NewAddress(
            name="Anna Müller",
            company="Großhandel GmbH",
            address1="Hauptstraße 5",
            address2="2. Stock",
            postal_code="10115",
            city="Berlin",
            country_code="DE",
        ),
        external_reference="450789469",
        external_number="#1001",
        locale="de",
    )
    await mark_ready_to_ship(actor=ADA, target=on(order), lines=await units(order, 1, 1))
    await add_tracking(actor=ADA, target=on(order), info=TrackingInfo("T-1", "Post", "https://post.example/T-1"))
    note = await note_of(order)
    document = shown(note)
    today = note.created_at.astimezone(ISSUER.time_zone).date()
    assert document == NoteContent(
        number=note.number,
        date=today,
        locale="de-CH",
        replaces=None,
        order_number=str(order.number),
        order_date=today,
        external_reference="#1001 · 450789469",
        channel="web",
        channel_code="web",
        customer="Anna Müller",
        recipient=(
            "Anna Müller",
            "Großhandel GmbH",
            "Hauptstraße 5",
            "2. Stock",
            "10115 BERLIN",
            "DEUTSCHLAND",
        ),
        recipient_country="DE",
        currency="CHF",
        prices=False,
        positions=(
            Position("SOCK-1", "Socks", "Red / 42", True, ordered=2, delivered=1, remaining=1, weight_grams=80),
            Position("HAT-1", "Hat", None, True, ordered=1, delivered=1, remaining=0),
            Position(None, "E-book", None, False, ordered=1, delivered=0, remaining=1),
        ),
        parcels=(Parcel("T-1", "Post", "https://post.example/T-1"),),
        letterhead=Letterhead(sender="Shop", footer=(("Line 1", "Line 2"),)),
    )
    assert NoteContent.from_data(json.loads(json.dumps(document.as_data()))) == document


async def test_what_was_delivered_before_is_no_longer_to_come() -> None:
    order = await confirmed(lines=(replace(SOCKS, quantity=5, removed_quantity=1), HAT))
    await mark_shipped(actor=ADA, target=on(order), lines=await units(order, 1, 1))
    await mark_ready_to_ship(actor=ADA, target=on(order), lines=await units(order, 2))
    first, second = await fulfillments_of(order)

    async def counts(fulfillment_id: UUID) -> list[tuple[int, int, int]]:
        positions = shown(await note_of(order, fulfillment_id=fulfillment_id)).positions
        return [(each.ordered, each.delivered, each.remaining) for each in positions]

    assert await counts(second.id) == [(4, 2, 1)]  # the hat has left, and is not shown again
    assert await counts(first.id) == [(4, 1, 3), (1, 1, 0)]


async def test_prices_only_where_they_are_wanted() -> None:
    order = await confirmed(lines=(replace(SOCKS, quantity=3, discount=Decimal("0.50")), HAT))
    await mark_ready_to_ship(actor=ADA, target=on(order), lines=await units(order, 2, 1))
    positions = shown(await note_of(order, replace(ISSUER, shows_prices=True))).positions
    assert [(each.unit_price, each.total) for each in positions] == [(990, 1947), (2000, 2000)]  # ⅔ of 29.20


async def test_a_pick_up_has_no_address() -> None:
    order = await confirmed(customer=NewCustomer(name="Anna Muster"), channel="till")
    document = shown(await note_of(order))
    assert (document.recipient, document.customer, document.letterhead.sender) == ((), "Anna Muster", "Till")
    assert shown(await note_of(await confirmed())).customer is None


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        (None, "de-CH"),
        ("de", "de-CH"),
        ("de-AT", "de-CH"),
        ("de-DE", "de-DE"),
        ("de_DE", "de-DE"),
        ("fr-FR", "fr-CH"),
        ("it", "it-CH"),
        ("en-GB", "en"),
        ("rm-CH", "de-CH"),
        ("zh-Hant-TW", "de-CH"),
    ],
)
async def test_the_order_chooses_the_language(locale: str | None, expected: str) -> None:
    assert (await note_of(await confirmed(locale=locale))).locale == expected


async def test_the_caller_chooses_the_language() -> None:
    order = await confirmed(locale="de")
    async with refused(ErrorCode.INVALID_INPUT, "locale"):
        await note_of(order, locale="tlh")
    assert (await note_of(order, locale="FR_ch")).locale == "fr-CH"


async def test_it_stays_as_it_is_whatever_becomes_of_the_order() -> None:
    order = await confirmed()
    await add_tracking(actor=ADA, target=on(order), info=TrackingInfo("T-1"))
    note = await note_of(order)
    [tracking] = await numbers_of(order)
    await update_tracking(actor=ADA, target=on(order), tracking_id=tracking.id, number="T-2")
    await mark_shipped(actor=ADA, target=on(order), lines=await units(order, 1))
    later = await DeliveryNote.get(id=note.id)
    assert shown(later) == shown(note)
    assert shown(later).parcels == (Parcel("T-1"),)


async def test_a_corrected_note_replaces_the_old_one() -> None:
    order = await confirmed()
    old = await note_of(order)
    await add_tracking(actor=ADA, target=on(order), info=TrackingInfo("T-1"))
    new = await note_of(order, replaces=old.id)
    assert (serial(new), new.position, shown(new).replaces, shown(new).parcels) == (2, 2, old.number, (Parcel("T-1"),))
    event = await last_event(order)
    assert event.message == f"Delivery note {new.number} was created in place of {old.number}."
    assert (event.data["replacesId"], event.data["replacesNumber"]) == (str(old.id), old.number)
    async with nothing_changes():  # it was replaced already, and creating one again is a repetition
        assert (await note_of(order, replaces=old.id)).id == new.id
        assert (await note_of(order)).id == new.id
    newest = await note_of(order, replaces=new.id)
    assert (newest.position, shown(newest).replaces) == (3, new.number)


async def test_only_a_note_of_the_order_and_the_fulfillment_is_replaced() -> None:
    order, other = await confirmed(), await confirmed()
    await mark_ready_to_ship(actor=ADA, target=on(order), lines=await units(order, 1))
    await mark_ready_to_ship(actor=ADA, target=on(order))
    first, second = await fulfillments_of(order)
    note = await note_of(order, fulfillment_id=first.id)
    foreign = await note_of(other)
    async with refused(ErrorCode.NOT_FOUND, "replaces"):
        await note_of(order, replaces=foreign.id)
    async with refused(ErrorCode.INVALID_INPUT, "replaces"):
        await note_of(order, replaces=note.id, fulfillment_id=second.id)
    assert (await note_of(order, replaces=note.id)).fulfillment_id == first.id


async def test_which_fulfillment_is_meant() -> None:
    order = await confirmed()
    await mark_shipped(actor=ADA, target=on(order), lines=await units(order, 1))
    note = await note_of(order)  # of what is left, in a fulfillment of its own
    assert await contents(order) == [("SHIPPED", [1, 0]), ("OPEN", [1, 1])]
    shipped, opened = await fulfillments_of(order)
    assert note.fulfillment_id == opened.id
    await mark_shipped(actor=ADA, target=on(order))
    async with refused(ErrorCode.INVALID_INPUT, "fulfillment_id"):
        await note_of(order)
    assert (await note_of(order, fulfillment_id=shipped.id)).fulfillment_id == shipped.id
    async with refused(ErrorCode.NOT_FOUND, "fulfillment_id"):
        await note_of(order, fulfillment_id=order.id)
    whole = await confirmed()
    await mark_shipped(actor=ADA, target=on(whole))
    assert (await note_of(whole)).fulfillment_id == (await fulfillments_of(whole))[0].id


async def test_who_may_create_one_and_when() -> None:
    order = await place()
    async with refused(ErrorCode.INVALID_TRANSITION):
        await note_of(order)
    await confirm_order(actor=ADA, target=on(order))
    async with nothing_changes():
        with pytest.raises(Forbidden):
            await note_of(order, actor=staff("Eve", *(set(Scope) - {Scope.FULFILLMENT_WRITE})))
    async with refused(ErrorCode.NOT_FOUND, "order_id"):
        await note_of(order, actor=staff("Eve", channels=frozenset({order.id})))
    async with refused(ErrorCode.VERSION_CONFLICT, "expected_version"):
        await note_of(order, target=on(order, version=1))
    note = await note_of(order)
    await cancel_order(actor=ADA, target=on(order), reason=CancelReason.STAFF)
    async with refused(ErrorCode.INVALID_TRANSITION):
        await note_of(order)
    assert (await find_delivery_notes(ADA, [note.id]))[note.id].number == note.number


async def test_nothing_to_deliver() -> None:
    order = await confirmed(lines=(replace(HAT, removed_quantity=1),))
    async with refused(ErrorCode.NOTHING_TO_SHIP):
        await note_of(order)


async def test_the_same_key_gives_the_same_note_again() -> None:
    order = await confirmed()
    await mark_ready_to_ship(actor=ADA, target=on(order), lines=await units(order, 1))
    first = await note_of(order, target=on(order, idempotency=once("k")))
    await mark_shipped(actor=ADA, target=on(order))
    await mark_ready_to_ship(actor=ADA, target=on(order), lines=[LineQuantity((await lines_of(order))[1].id, 1)])
    async with nothing_changes():
        assert (await note_of(order, target=on(order, idempotency=once("k")))).id == first.id
    async with refused(ErrorCode.IDEMPOTENCY_CONFLICT, "idempotency_key"):
        await note_of(order, target=on(order, idempotency=once("k", "another input")))
    assert (await note_of(order, target=on(order, idempotency=once("l")))).id != first.id


async def test_of_many_who_ask_at_once_all_get_the_same() -> None:
    order = await confirmed()
    notes = await asyncio.gather(*(note_of(order) for _ in range(8)))
    assert len({note.id for note in notes}) == 1
    assert serial(notes[0]) == 1
    new = await asyncio.gather(*(note_of(order, replaces=notes[0].id) for _ in range(8)))
    assert len({note.id for note in new}) == 1
    assert await DeliveryNote.all().count() == 2


async def test_the_order_is_still_found_by_its_note_when_a_tracking_number_of_that_name_goes() -> None:
    order = await confirmed()
    note = await note_of(order)
    await add_tracking(actor=ADA, target=on(order), info=TrackingInfo(note.number))
    [tracking] = await numbers_of(order)
    await remove_tracking(actor=ADA, target=on(order), tracking_id=tracking.id)
    assert await SearchTerm.filter(order_id=order.id, term=note.number.lower()).exists()


async def test_the_first_file_stays() -> None:
    note = await note_of(await confirmed())
    assert await stored_files([note.id]) == {}
    kept = await asyncio.gather(*(store_file(note.id, f"file {number}".encode()) for number in range(6)))
    assert len(set(kept)) == 1
    assert await store_file(note.id, b"another") == kept[0]
    assert await stored_files([note.id]) == {note.id: kept[0]}


async def test_a_note_exists_for_who_sees_its_order() -> None:
    order = await confirmed()
    note = await note_of(order)
    assert list(await find_delivery_notes(staff("Bob", channels=frozenset({order.channel_id})), [note.id])) == [note.id]
    assert await find_delivery_notes(staff("Eve", channels=frozenset()), [note.id]) == {}
    await add_order_note(actor=ADA, target=on(order), note="x")
    assert list(await find_delivery_notes(None, [note.id, order.id])) == [note.id]
