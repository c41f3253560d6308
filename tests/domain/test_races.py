"""Several callers at the same moment: one of each wins, whatever the database, and the others are told what is so."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from domain.actors import Scope, system
from domain.errors import DomainError, ErrorCode
from domain.fulfillments.commands import mark_shipped
from domain.orders.commands import add_order_note, archive_order, cancel_order, confirm_order
from domain.orders.placing import NewCustomer
from domain.payments.commands import capture_payment, record_payment
from domain.tokens import create_token
from models import Channel, Customer, IdempotencyRecord, Order, OrderEvent, Transaction
from models.enums import CancelReason, OrderEventType, OrderStatus
from tests.domain.shop import ADA, on, once, place, staff, stored, types_of

pytestmark = pytest.mark.usefixtures("database")

MANY = 12


async def at_once(*calls: Callable[[], Awaitable[Order]]) -> list[Order | ErrorCode]:
    """What became of calls that begin at the same moment: the order, or why it was refused."""

    async def outcome(call: Callable[[], Awaitable[Order]]) -> Order | ErrorCode:
        try:
            return await call()
        except DomainError as refusal:
            return refusal.code

    return await asyncio.gather(*map(outcome, calls))


def refusals(outcomes: list[Order | ErrorCode]) -> Counter[ErrorCode]:
    return Counter(outcome for outcome in outcomes if isinstance(outcome, ErrorCode))


async def test_one_confirms_and_the_others_change_nothing() -> None:
    order = await place()
    outcomes = await at_once(*[lambda: confirm_order(actor=ADA, target=on(order))] * MANY)
    assert refusals(outcomes) == {}
    assert await types_of(order) == [OrderEventType.ORDER_PLACED, OrderEventType.ORDER_CONFIRMED]


async def test_of_confirm_cancel_and_ship_the_first_decides() -> None:
    orders = [await place() for _ in range(6)]
    calls: list[Callable[[], Awaitable[Order]]] = []
    for order in orders:
        target = on(order)
        calls += [
            lambda target=target: cancel_order(actor=ADA, target=target, reason=CancelReason.STAFF),  # type: ignore[misc]
            lambda target=target: confirm_order(actor=ADA, target=target),  # type: ignore[misc]
            lambda target=target: mark_shipped(actor=ADA, target=target),  # type: ignore[misc]
        ]
    outcomes = await at_once(*calls)
    assert set(refusals(outcomes)) <= {ErrorCode.INVALID_TRANSITION}
    for number, order in enumerate(orders):
        cancelled, confirmed, shipped = (isinstance(each, Order) for each in outcomes[3 * number : 3 * number + 3])
        status = (await stored(order)).status
        assert cancelled == (status is OrderStatus.CANCELLED)
        assert shipped == (status is OrderStatus.SHIPPED)
        assert confirmed or status is OrderStatus.CANCELLED
        assert (await stored(order)).version == await OrderEvent.filter(order_id=order.id).count()


async def test_of_those_who_saw_the_same_version_one_acts() -> None:
    order = await place()
    outcomes = await at_once(*[lambda: add_order_note(actor=ADA, target=on(order, 1), note="Mine.")] * MANY)
    assert refusals(outcomes) == {ErrorCode.VERSION_CONFLICT: MANY - 1}
    assert ((await stored(order)).version, (await stored(order)).note) == (2, "Mine.")


async def test_money_is_taken_once() -> None:
    order = await place()
    await confirm_order(actor=ADA, target=on(order))
    calls = [lambda: capture_payment(actor=ADA, target=on(order)), lambda: record_payment(actor=ADA, target=on(order))]
    assert refusals(await at_once(*calls * 4)) == {}
    assert [(each.amount,) for each in await Transaction.filter(order_id=order.id)] == [(3980,)]


async def test_a_key_of_one_order_acts_once() -> None:
    order = await place()
    calls = [lambda: add_order_note(actor=ADA, target=on(order, None, once("k")), note="Called.")] * MANY
    assert refusals(await at_once(*calls)) == {}
    assert ((await stored(order)).version, (await stored(order)).note) == (2, "Called.")


async def test_a_key_of_a_new_order_places_one() -> None:
    outcomes = await at_once(*[lambda: place(idempotency=once("k"))] * MANY)
    assert refusals(outcomes) == {}
    assert {each.id for each in outcomes if isinstance(each, Order)} == {(await Order.get()).id}
    assert await IdempotencyRecord.all().count() == 1


async def test_a_key_of_two_orders_is_used_by_one() -> None:
    one, other = await place(), await place()
    outcomes = await at_once(
        lambda: add_order_note(actor=ADA, target=on(one, None, once("k", "one")), note="Called."),
        lambda: add_order_note(actor=ADA, target=on(other, None, once("k", "other")), note="Called."),
    )
    assert refusals(outcomes) == {ErrorCode.IDEMPOTENCY_CONFLICT: 1}
    assert sorted([(await stored(one)).version, (await stored(other)).version]) == [1, 2]


async def test_a_reference_is_used_once() -> None:
    await place()
    outcomes = await at_once(*[lambda: place(external_reference="A-1")] * MANY)
    assert refusals(outcomes) == {ErrorCode.DUPLICATE_REFERENCE: MANY - 1}
    assert await Order.filter(external_reference="A-1").count() == 1


async def test_a_channel_and_a_customer_are_made_once_and_numbers_never_twice() -> None:
    customer = NewCustomer(email="ada@example.com", name="Ada")
    outcomes = await at_once(*[lambda: place(channel="new", customer=customer)] * MANY)
    assert refusals(outcomes) == {}
    assert (await Channel.all().count(), await Customer.all().count()) == (1, 1)
    assert len({order.number for order in await Order.all()}) == MANY


async def test_tokens_for_a_new_channel() -> None:
    await asyncio.gather(
        *(create_token(actor=system("tests"), name="t", scopes=[Scope.ORDERS_READ], channels=["new"]) for _ in range(5))
    )
    assert await Channel.all().count() == 1


async def test_many_steps_of_many_people_on_one_order_are_one_after_another() -> None:
    order = await place()
    people = [staff(f"P{number}") for number in range(MANY)]
    calls: list[Callable[[], Awaitable[Order]]] = [
        lambda person=person: add_order_note(actor=person, target=on(order), note=person.name)  # type: ignore[misc]
        for person in people
    ]
    calls.append(lambda: cancel_order(actor=ADA, target=on(order), reason=CancelReason.STAFF))
    calls.append(lambda: archive_order(actor=ADA, target=on(order)))
    outcomes = await at_once(*calls)
    assert set(refusals(outcomes)) <= {ErrorCode.INVALID_TRANSITION}
    events = await OrderEvent.filter(order_id=order.id).order_by("id")
    assert [event.order_version for event in events] == list(range(1, len(events) + 1))
    assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)
    assert (await stored(order)).version == len(events)
