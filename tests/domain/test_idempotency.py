"""A caller's own key: what was done under it is done once."""

import asyncio

import pytest

from domain.change import Idempotency
from domain.errors import ErrorCode
from domain.orders.commands import add_order_note, confirm_order
from domain.payments.commands import record_payment
from models import IdempotencyRecord, Order
from models.enums import OrderStatus
from tests.domain.shop import ADA, nothing_changes, on, once, place, refused, staff, stored, types_of

pytestmark = pytest.mark.usefixtures("database")


async def note(order: Order, key: Idempotency, *, version: int | None = None) -> Order:
    return await add_order_note(actor=ADA, target=on(order, version, key), note="Called.")


async def test_the_same_key_with_the_same_input_acts_once() -> None:
    order = await place()
    first = await note(order, once("k"))
    async with nothing_changes():
        again = await note(order, once("k"))
    assert (again.id, again.version, again.note) == (first.id, 2, "Called.")


async def test_a_key_still_answers_after_the_order_has_moved_on() -> None:
    order = await place()
    await note(order, once("k"), version=1)
    await confirm_order(actor=ADA, target=on(order))
    async with nothing_changes():
        again = await note(order, once("k"), version=1)
    assert (again.version, again.status) == (3, OrderStatus.CONFIRMED)


async def test_the_same_key_with_another_input_is_refused() -> None:
    order, other = await place(), await place()
    await note(order, once("k"))
    async with refused(ErrorCode.IDEMPOTENCY_CONFLICT, "idempotency_key"):
        await note(order, once("k", "another input"))
    async with refused(ErrorCode.IDEMPOTENCY_CONFLICT, "idempotency_key"):
        await note(other, once("k", "another order"))


async def test_each_caller_has_keys_of_their_own() -> None:
    order = await place()
    await note(order, once("k"))
    await add_order_note(actor=staff("Bob"), target=on(order, idempotency=once("k", "another input")), note="Wrote.")
    assert (await stored(order)).note == "Called.\nWrote."


async def test_a_refused_act_does_not_use_the_key_up() -> None:
    order = await place()
    async with refused(ErrorCode.VERSION_CONFLICT, "expected_version"):
        await note(order, once("k"), version=7)
    assert (await note(order, once("k"), version=1)).version == 2


async def test_a_step_that_changed_nothing_uses_the_key_up() -> None:
    order = await place()
    await confirm_order(actor=ADA, target=on(order))
    await confirm_order(actor=ADA, target=on(order, idempotency=once("k")))
    assert await types_of(order) == ["ORDER_PLACED", "ORDER_CONFIRMED"]
    async with refused(ErrorCode.IDEMPOTENCY_CONFLICT, "idempotency_key"):
        await confirm_order(actor=ADA, target=on(order, idempotency=once("k", "another input")))


async def test_an_order_is_placed_once_under_a_key() -> None:
    first = await place(idempotency=once("k"), external_reference="A-1")
    await confirm_order(actor=ADA, target=on(first))
    async with nothing_changes():
        again = await place(idempotency=once("k"), external_reference="A-1")
    assert (again.id, again.number, again.version) == (first.id, 1001, 2)
    async with refused(ErrorCode.IDEMPOTENCY_CONFLICT, "idempotency_key"):
        await place(idempotency=once("k", "another input"))


async def test_a_key_of_an_order_that_the_caller_may_no_longer_see() -> None:
    order = await place()
    await note(order, once("k"))
    moved = staff("Ada", channels=frozenset({(await place(channel="shop")).channel_id}))
    async with refused(ErrorCode.NOT_FOUND, "order_id"):
        await add_order_note(actor=moved, target=on(order, idempotency=once("k")), note="Called.")
    async with refused(ErrorCode.NOT_FOUND, "order_id"):
        await place(moved, channel="shop", idempotency=once("k"))


async def test_many_at_once_under_one_key_act_once() -> None:
    order = await place()
    answers = await asyncio.gather(*(note(order, once("k")) for _ in range(20)))
    assert {(each.version, each.note) for each in answers} == {(2, "Called.")}
    placed = await asyncio.gather(*(place(idempotency=once("p")) for _ in range(20)))
    assert len({each.id for each in placed}) == 1
    assert await Order.all().count() == 2
    assert await IdempotencyRecord.all().count() == 2


async def test_many_at_once_under_keys_of_their_own_all_act() -> None:
    order = await place()
    await asyncio.gather(
        *(record_payment(actor=ADA, target=on(order, idempotency=once(f"k{index}"))) for index in range(5))
    )
    assert await types_of(order) == ["ORDER_PLACED", "PAYMENT_RECORDED"]
    assert await IdempotencyRecord.all().count() == 5
