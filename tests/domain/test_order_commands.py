"""Confirming, cancelling, archiving and noting: what changes, what is recorded, and what is refused."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from domain.actors import Forbidden, Scope
from domain.change import Target
from domain.errors import ErrorCode
from domain.fulfillments.commands import (
    TrackingInfo,
    add_tracking,
    mark_ready_to_ship,
    mark_shipped,
    remove_tracking,
    update_tracking,
)
from domain.orders.commands import add_order_note, archive_order, cancel_order, confirm_order, unarchive_order
from domain.payments.commands import capture_payment, record_payment, refund_payment
from models import Order
from models.enums import CancelReason, OrderStatus, PaymentStatus
from tests.domain.shop import (
    ADA,
    authorized,
    contents,
    free_units,
    last_event,
    nothing_changes,
    on,
    paid,
    place,
    refused,
    staff,
    stored,
    transactions_of,
    types_of,
    units,
)

pytestmark = pytest.mark.usefixtures("database")
BOB = staff("Bob")
PENDING, CONFIRMED, READY_TO_SHIP, SHIPPED, CANCELLED = OrderStatus

Command = Callable[..., Coroutine[Any, Any, Order]]
NOBODY = UUID(int=0)
cancel = partial(cancel_order, reason=CancelReason.CUSTOMER)
COMMANDS: list[tuple[Command, Scope]] = [
    (confirm_order, Scope.ORDERS_WRITE),
    (cancel, Scope.ORDERS_WRITE),
    (archive_order, Scope.ORDERS_WRITE),
    (unarchive_order, Scope.ORDERS_WRITE),
    (partial(add_order_note, note="hello"), Scope.ORDERS_WRITE),
    (mark_ready_to_ship, Scope.FULFILLMENT_WRITE),
    (mark_shipped, Scope.FULFILLMENT_WRITE),
    (partial(add_tracking, info=TrackingInfo("T")), Scope.FULFILLMENT_WRITE),
    (partial(update_tracking, tracking_id=NOBODY, number="T"), Scope.FULFILLMENT_WRITE),
    (partial(remove_tracking, tracking_id=NOBODY), Scope.FULFILLMENT_WRITE),
    (capture_payment, Scope.PAYMENTS_WRITE),
    (record_payment, Scope.PAYMENTS_WRITE),
    (refund_payment, Scope.PAYMENTS_WRITE),
]


@pytest.mark.parametrize(("command", "scope"), COMMANDS)
async def test_each_command_needs_its_scope(command: Command, scope: Scope) -> None:
    order = await place()
    async with nothing_changes():
        with pytest.raises(Forbidden):
            await command(actor=staff("Eve", *(set(Scope) - {scope})), target=on(order))


@pytest.mark.parametrize(("command", "scope"), COMMANDS)
async def test_an_order_that_the_caller_does_not_know(command: Command, scope: Scope) -> None:
    order = await place()
    stranger = staff("Eve", channels=frozenset({(await place(channel="shop")).channel_id}))
    async with refused(ErrorCode.NOT_FOUND, "order_id") as hidden:
        await command(actor=stranger, target=on(order))
    async with refused(ErrorCode.NOT_FOUND, "order_id") as missing:
        await command(actor=ADA, target=Target(NOBODY))
    assert hidden.error.message == missing.error.message


@pytest.mark.parametrize(("command", "scope"), COMMANDS)
async def test_a_stale_caller_is_told_the_current_version(command: Command, scope: Scope) -> None:
    order = await confirm_order(actor=ADA, target=on(await place()))
    async with refused(ErrorCode.VERSION_CONFLICT, "expected_version") as refusal:
        await command(actor=ADA, target=on(order, version=1))
    assert refusal.error.current_version == 2


async def test_a_caller_who_has_seen_the_current_version_acts() -> None:
    order = await place()
    assert (await confirm_order(actor=ADA, target=on(order, version=1))).version == 2


async def test_confirming() -> None:
    order = await place()
    confirmed = await confirm_order(actor=BOB, target=on(order))
    row = await stored(order)
    assert (confirmed.status, confirmed.version) == (row.status, row.version) == (CONFIRMED, 2)
    event = await last_event(order)
    assert (event.type, event.actor_name, event.message) == ("ORDER_CONFIRMED", "Bob", "The order was confirmed.")
    assert (event.from_status, event.to_status) == (PENDING, CONFIRMED)
    assert (event.to_payment_status, event.to_fulfillment_status) == (None, None)
    assert row.confirmed_at == row.updated_at == event.occurred_at


Step = Callable[[Order], Awaitable[Order]]


async def _ready(order: Order) -> Order:
    await confirm_order(actor=ADA, target=on(order))
    return await mark_ready_to_ship(actor=ADA, target=on(order))


async def _shipped(order: Order) -> Order:
    await confirm_order(actor=ADA, target=on(order))
    return await mark_shipped(actor=ADA, target=on(order))


async def _cancelled(order: Order) -> Order:
    return await cancel(actor=ADA, target=on(order))


@pytest.mark.parametrize(
    ("before", "command", "from_status", "to_status"),
    [
        (_ready, confirm_order, READY_TO_SHIP, CONFIRMED),
        (_shipped, confirm_order, SHIPPED, CONFIRMED),
        (_cancelled, confirm_order, CANCELLED, CONFIRMED),
        (_shipped, cancel, SHIPPED, CANCELLED),
        (None, mark_ready_to_ship, PENDING, READY_TO_SHIP),
        (_shipped, mark_ready_to_ship, SHIPPED, READY_TO_SHIP),
        (_cancelled, mark_ready_to_ship, CANCELLED, READY_TO_SHIP),
        (None, mark_shipped, PENDING, SHIPPED),
        (_cancelled, mark_shipped, CANCELLED, SHIPPED),
        (None, archive_order, PENDING, None),
        (_shipped, archive_order, SHIPPED, None),  # it is not paid
        (None, partial(add_tracking, info=TrackingInfo("T")), PENDING, None),
        (_cancelled, partial(add_tracking, info=TrackingInfo("T")), CANCELLED, None),
        (_cancelled, capture_payment, CANCELLED, None),
        (_cancelled, record_payment, CANCELLED, None),
    ],
)
async def test_a_forbidden_step(
    before: Step | None, command: Command, from_status: OrderStatus, to_status: OrderStatus | None
) -> None:
    order = await place()
    if before is not None:
        await before(order)
    async with refused(ErrorCode.INVALID_TRANSITION) as refusal:
        await command(actor=ADA, target=on(order))
    assert (refusal.error.from_status, refusal.error.to_status) == (from_status, to_status)


@pytest.mark.parametrize(
    ("before", "command"),
    [
        (None, confirm_order),
        (None, cancel),
        (_ready, mark_ready_to_ship),
        (_shipped, mark_shipped),
        (_cancelled, archive_order),
    ],
)
async def test_a_step_taken_again_changes_nothing(before: Step | None, command: Command) -> None:
    order = await place()
    if before is not None:
        await before(order)
    first = await command(actor=ADA, target=on(order))
    async with nothing_changes():
        again = await command(actor=BOB, target=on(order, version=first.version))
    assert (again.version, again.status) == (first.version, first.status)


async def test_cancelling_frees_what_was_packed_and_voids_what_was_authorized() -> None:
    order = await place(payments=[paid("9.80"), authorized("30")])
    await _ready(order)
    row = await cancel_order(actor=BOB, target=on(order), reason=CancelReason.INVENTORY)
    assert (row.status, row.cancel_reason, row.outstanding) == (CANCELLED, CancelReason.INVENTORY, 0)
    assert (row.payment_status, row.authorized_total, row.paid_total) == (PaymentStatus.PARTIALLY_PAID, 0, 980)
    assert await contents(order) == [("CANCELLED", [2, 1])]
    assert await free_units(order) == [0, 0]
    assert (await types_of(order))[-2:] == ["ORDER_CANCELLED", "PAYMENT_VOIDED"]
    assert (await transactions_of(order))[-1].amount == 3000
    assert row.cancelled_at == row.updated_at


async def test_cancelling_an_order_that_was_only_authorized() -> None:
    order = await place(payments=[authorized("30"), authorized("9.80")])
    row = await cancel(actor=ADA, target=on(order))
    assert (row.payment_status, row.authorized_total) == (PaymentStatus.VOIDED, 0)
    event = await last_event(order)
    assert (event.from_payment_status, event.to_payment_status) == (PaymentStatus.AUTHORIZED, PaymentStatus.VOIDED)
    assert [each.amount for each in await transactions_of(order)] == [3000, 980, 3000, 980]


async def test_cancelling_leaves_what_another_gateway_has_authorized() -> None:
    order = await place(payments=[authorized("39.80", "stripe")])
    row = await cancel(actor=ADA, target=on(order))
    assert (row.payment_status, row.authorized_total) == (PaymentStatus.AUTHORIZED, 3980)
    assert await types_of(order) == ["ORDER_PLACED", "PAYMENT_AUTHORIZED", "ORDER_CANCELLED"]


async def test_an_order_of_which_a_part_has_left_can_be_cancelled() -> None:
    order = await place()
    await confirm_order(actor=ADA, target=on(order))
    await mark_shipped(actor=ADA, target=on(order), lines=await units(order, 1))
    row = await cancel(actor=ADA, target=on(order))
    assert (row.status, row.fulfillment_status) == (CANCELLED, "PARTIALLY_FULFILLED")
    assert await contents(order) == [("SHIPPED", [1, 0])]
    assert await free_units(order) == [0, 0]


async def test_archiving_and_taking_out_again() -> None:
    order = await place(payments=[paid("39.80")])
    await _shipped(order)
    archived = await archive_order(actor=ADA, target=on(order))
    event = await last_event(order)
    assert event.type == "ORDER_ARCHIVED"
    assert event.changes_status
    assert archived.archived_at == event.occurred_at
    back = await unarchive_order(actor=ADA, target=on(order))
    assert back.archived_at is None
    assert (await last_event(order)).type == "ORDER_UNARCHIVED"
    async with nothing_changes():
        await unarchive_order(actor=ADA, target=on(order))
    await archive_order(actor=ADA, target=on(order))
    assert (await types_of(order))[-3:] == ["ORDER_ARCHIVED", "ORDER_UNARCHIVED", "ORDER_ARCHIVED"]


async def test_notes_are_written_one_below_the_other() -> None:
    order = await place(note="From the customer")
    await add_order_note(actor=ADA, target=on(order), note=" Called. ")
    row = await add_order_note(actor=ADA, target=on(order), note="Called.")
    assert row.note == "From the customer\nCalled.\nCalled."
    event = await last_event(order)
    assert (event.type, event.data, event.changes_status) == ("NOTE_ADDED", {"note": "Called."}, False)


@pytest.mark.parametrize("note", ["", " \n", "x" * 5001, "a\x00", "\udfff"])
async def test_a_note_must_be_text_that_fits(note: str) -> None:
    order = await place()
    async with refused(ErrorCode.INVALID_INPUT, "note"):
        await add_order_note(actor=ADA, target=on(order), note=note)
