"""A shop for the tests of the commands: its staff, an order, and what was refused or left as it was."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from domain.actors import Actor, Scope
from domain.change import Idempotency, Target
from domain.delivery_notes.content import Letterhead
from domain.delivery_notes.numbers import NumberSeries
from domain.errors import DomainError, ErrorCode
from domain.fulfillments.packing import LineQuantity
from domain.orders.placing import NewLine, NewOrder, NewPayment, place_order
from models import Fulfillment, FulfillmentLine, Order, OrderEvent, OrderLine, Tracking, Transaction
from models.enums import ActorKind, OrderSource, TransactionKind
from tests.database import all_rows


@dataclass(frozen=True)
class Merchant:
    """A merchant in Zurich, whose channel `till` has a letterhead of its own."""

    series: NumberSeries
    time_zone: ZoneInfo
    default_locale: str = "de-CH"
    shows_prices: bool = False

    def letterhead(self, channel: str) -> Letterhead:
        return Letterhead(sender="Till" if channel == "till" else "Shop", footer=(("Line 1", "Line 2"),))

    def prices(self, channel: str) -> bool:
        return self.shows_prices


ISSUER = Merchant(NumberSeries(), ZoneInfo("Europe/Zurich"))


def staff(name: str = "Ada", *scopes: Scope, channels: frozenset[UUID] | None = None) -> Actor:
    """Somebody with a token; with every scope unless some are given."""
    given = frozenset(scopes or Scope)
    return Actor(kind=ActorKind.TOKEN, id=f"token-{name}", name=name, scopes=given, channel_ids=channels)


ADA = staff()
SOCKS = NewLine(title="Socks", sku="SOCK-1", quantity=2, unit_price=Decimal("9.90"))
HAT = NewLine(title="Hat", sku="HAT-1", quantity=1, unit_price=Decimal("20.00"))


def new_order(**given: Any) -> NewOrder:
    """Two Socks at 9.90 and one Hat at 20.00: 39.80 CHF, unless said otherwise."""
    common = {"channel": "web", "source": OrderSource.ONLINE, "currency": "CHF", "lines": (SOCKS, HAT)}
    return NewOrder(**{**common, **given})


async def place(actor: Actor = ADA, idempotency: Idempotency | None = None, **given: Any) -> Order:
    return await place_order(actor=actor, new=new_order(**given), idempotency=idempotency)


def authorized(amount: str, gateway: str = "manual") -> NewPayment:
    return NewPayment(TransactionKind.AUTHORIZATION, Decimal(amount), gateway)


def paid(amount: str) -> NewPayment:
    return NewPayment(TransactionKind.SALE, Decimal(amount))


def once(key: str, fingerprint: str = "same input") -> Idempotency:
    return Idempotency(key, fingerprint)


def on(order: Order, version: int | None = None, idempotency: Idempotency | None = None) -> Target:
    return Target(order.id, version, idempotency)


async def stored(order: Order) -> Order:
    """The order as the database has it."""
    return await Order.get(id=order.id)


async def lines_of(order: Order) -> list[OrderLine]:
    return await OrderLine.filter(order_id=order.id).order_by("position")


async def units(order: Order, *counts: int) -> list[LineQuantity]:
    """So many units of the order's first line, its second and so on; lines with none are left out."""
    lines = await lines_of(order)
    return [LineQuantity(line.id, count) for line, count in zip(lines, counts, strict=False) if count]


async def fulfillments_of(order: Order) -> list[Fulfillment]:
    return await Fulfillment.filter(order_id=order.id).order_by("position")


async def contents(order: Order) -> list[tuple[str, list[int]]]:
    """Each fulfillment's state, and how many units of each line it holds."""
    lines = await lines_of(order)
    found = []
    for fulfillment in await fulfillments_of(order):
        rows = await FulfillmentLine.filter(fulfillment_id=fulfillment.id)
        held = {row.order_line_id: row.quantity for row in rows}
        found.append((fulfillment.state.value, [held.get(line.id, 0) for line in lines]))
    return found


async def free_units(order: Order) -> list[int]:
    return [line.fulfillable_quantity for line in await lines_of(order)]


async def numbers_of(order: Order) -> list[Tracking]:
    return await Tracking.filter(order_id=order.id).order_by("created_at", "id")


async def transactions_of(order: Order) -> list[Transaction]:
    return await Transaction.filter(order_id=order.id).order_by("processed_at", "id")


async def log_of(order: Order) -> list[OrderEvent]:
    """The order's events. Its version is their number, and they are counted without a gap."""
    events = await OrderEvent.filter(order_id=order.id).order_by("id")
    assert [event.order_version for event in events] == list(range(1, len(events) + 1))
    assert (await stored(order)).version == len(events)
    return events


async def types_of(order: Order) -> list[str]:
    return [event.type.value for event in await log_of(order)]


async def last_event(order: Order) -> OrderEvent:
    return (await log_of(order))[-1]


@asynccontextmanager
async def nothing_changes() -> AsyncIterator[None]:
    """Every row of every table is the same after the block as before it."""
    before = await all_rows()
    yield
    assert await all_rows() == before


@dataclass
class Refusal:
    """What a block was refused with."""

    error: Any = None


@asynccontextmanager
async def refused(code: ErrorCode, *field: str | int) -> AsyncIterator[Refusal]:
    """The block is refused with this code and names this field, and nothing is changed."""
    refusal = Refusal()
    async with nothing_changes():
        with pytest.raises(DomainError) as caught:
            yield refusal
    refusal.error = caught.value
    assert (caught.value.code, list(caught.value.field)) == (code, _path(field)), caught.value.message


def _path(field: Sequence[str | int]) -> list[str]:
    return [str(part) for part in field]
