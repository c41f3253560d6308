"""Statements as SQL: what Tortoise writes they read, what they write it reads, and a write is whole or is not there."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError, ValidationError
from tortoise.transactions import in_transaction

from models import Channel, Order, OrderEvent, OrderLine, SearchTerm
from models.engine.fields import new_key
from models.engine.rows import load, load_where
from models.engine.statements import Write, insert, update, update_all, write
from models.enums import ActorKind, CancelReason, OrderEventType, OrderSource, OrderStatus
from tests.database import all_rows, statements

pytestmark = pytest.mark.usefixtures("database")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_channel(code: str = "web") -> dict[str, Any]:
    return {"id": new_key(), "code": code, "name": code, "created_at": NOW}


def an_order(channel: dict[str, Any], number: int = 1) -> Order:
    sums = dict.fromkeys(("subtotal", "discount_total", "shipping_total", "tax_total", "total"), 0)
    moment = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    return Order(
        channel_id=channel["id"],
        number=number,
        source=OrderSource.POS,
        currency="CHF",
        taxes_included=True,
        placed_at=moment,
        updated_at=moment,
        **sums,
    )


def a_line(order: Order, position: int) -> OrderLine:
    return OrderLine(
        order_id=order.id, position=position, title="Socks?", quantity=5, fulfillable_quantity=5, unit_price=1, total=5
    )


def an_event(order: Order, version: int) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "channel_id": order.channel_id,
        "order_version": version,
        "type": OrderEventType.NOTE_ADDED,
        "occurred_at": NOW,
        "actor_kind": ActorKind.SYSTEM,
        "actor_name": "a test",
        "message": "What?",
        "data": {"why": ["because"]},
        "has_effects": True,
    }


async def in_one(*writes: Write) -> None:
    async with in_transaction():
        await write(*writes)


async def an_order_with_lines(count: int) -> tuple[Order, list[OrderLine]]:
    channel = a_channel()
    order = an_order(channel)
    lines = [a_line(order, position) for position in range(count)]
    parts = [insert(Order, [vars(order)]), insert(OrderLine, [vars(line) for line in lines])]
    await in_one(insert(Channel, [channel]), *parts)
    return order, lines


async def test_both_ways_write_and_read_the_same() -> None:
    order, lines = await an_order_with_lines(3)
    found = await load(Order, id=order.id)
    assert found is not None
    assert vars(found) == vars(await Order.get(id=order.id))
    assert (found.placed_at, found.source, found.taxes_included) == (NOW, OrderSource.POS, True)
    rows = await load_where(OrderLine, 'WHERE "order_id" = ? ORDER BY "position" DESC', str(order.id))
    assert [vars(row) for row in rows] == [vars(row) for row in await OrderLine.all().order_by("-position")]
    assert [row.id for row in rows] == [line.id for line in reversed(lines)]
    assert await load(Order, id=new_key()) is None


async def test_only_what_is_named_is_changed() -> None:
    order, lines = await an_order_with_lines(3)
    order.status, order.cancel_reason, order.note = OrderStatus.CANCELLED, CancelReason.STAFF, "not this"
    lines[0].shipped_quantity, lines[0].fulfillable_quantity = 1, 4
    lines[1].shipped_quantity, lines[1].fulfillable_quantity = 2, 3
    changed = update_all(lines[:2], ["fulfillable_quantity", "shipped_quantity"])
    with statements() as run:
        await in_one(update(order, ["status", "cancel_reason"]), changed)
    kept = await Order.get(id=order.id)
    assert [kept.status, kept.cancel_reason, kept.note] == [OrderStatus.CANCELLED, CancelReason.STAFF, None]
    quantities = await OrderLine.all().order_by("position").values_list("fulfillable_quantity", "shipped_quantity")
    assert quantities == [(4, 1), (3, 2), (5, 0)]
    assert len(run) <= 2


@pytest.mark.postgres
async def test_postgres_is_asked_once() -> None:
    await Channel.all().count()  # the pool is there
    with statements() as run:
        await an_order_with_lines(3)
    assert len(run) == 1


async def test_as_many_rows_as_an_order_has_at_most() -> None:
    _, lines = await an_order_with_lines(1000)
    await in_one(update_all(lines, ["fulfillable_quantity", "shipped_quantity"]))
    assert [line.id for line in await OrderLine.all().order_by("position")] == [line.id for line in lines]


async def test_numbers_follow_the_order_of_the_rows() -> None:
    order, _ = await an_order_with_lines(1)
    await in_one(insert(OrderEvent, [an_event(order, version) for version in (3, 1, 2)]))
    rows = await OrderEvent.all().order_by("id")
    assert [(row.order_version, row.data, row.from_status) for row in rows] == [
        (version, {"why": ["because"]}, None) for version in (3, 1, 2)
    ]


async def test_what_is_there_already_is_left_out_if_that_is_meant() -> None:
    order, _ = await an_order_with_lines(1)
    rows = [{"id": new_key(), "order_id": order.id, "term": term, "personal": False} for term in ("a", "b", "a")]
    await in_one(insert(SearchTerm, rows[:1]))
    await in_one(insert(SearchTerm, rows[1:], unless_there=True))
    assert [row.term for row in await SearchTerm.all().order_by("term")] == ["a", "b"]


async def test_all_of_it_or_nothing_is_written() -> None:
    order, _ = await an_order_with_lines(1)
    order.status = OrderStatus.CONFIRMED
    before = await all_rows()
    events = insert(OrderEvent, [an_event(order, 1), an_event(order, 1)])
    with pytest.raises(IntegrityError):
        await in_one(update(order, ["status"]), events)
    assert await all_rows() == before
    with pytest.raises(ValidationError, match="actor_name"):
        insert(OrderEvent, [{**an_event(order, 1), "actor_name": "x" * 256}])
