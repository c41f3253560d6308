"""Reading orders: one, a page, or how many. Only what exists for the caller is ever given out."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from tortoise.expressions import Q
from tortoise.functions import Count
from tortoise.queryset import QuerySet

from domain import cursors
from domain.actors import Actor
from domain.channels import find_channel
from domain.errors import InvalidInput
from domain.orders.filters import OrderFilter, visible, visible_query
from domain.paging import PageRequest
from domain.validation import storable
from models import Channel, Fulfillment, Order, OrderLine
from models.engine import rows
from models.engine.statements import is_postgres
from models.engine.turns import take_turn
from models.enums import FulfillmentStatus, OrderStatus, PaymentStatus
from models.vocabularies import Vocabulary

LONGEST_REFERENCE = 255
_CURSOR = "order"


class OrderSortField(Vocabulary):
    """What a list of orders is sorted by."""

    PLACED_AT = "PLACED_AT", "When the order was placed."
    UPDATED_AT = "UPDATED_AT", "When the order last changed."
    NUMBER = "NUMBER", "The order's number."
    TOTAL = "TOTAL", "The total in minor units, whatever its currency."


class SortDirection(Vocabulary):
    """Which end of a list comes first."""

    ASC = "ASC", "The least or the oldest first."
    DESC = "DESC", "The greatest or the newest first."


@dataclass(frozen=True, slots=True)
class OrderSort:
    by: OrderSortField = OrderSortField.PLACED_AT
    direction: SortDirection = SortDirection.DESC


async def _find_visible(actor: Actor, column: str, key: UUID | int) -> Order | None:
    """Return the order with that key if the caller sees its channel."""
    for row in await rows.read_by(Order, column, [key]):
        if actor.sees(row.channel_id):
            return row
    return None


async def get_order(actor: Actor, order_id: UUID) -> Order | None:
    return await _find_visible(actor, "id", order_id)


async def get_refused_order(actor: Actor, order_id: UUID) -> Order | None:
    """Return the order of a refused change, or None if it does not exist for the actor.

    For a fulfillment service, only orders exist of which it is asked to ship something.
    """
    service_id = actor.service_id
    if service_id is not None and not await Fulfillment.exists(order_id=order_id, service_id=service_id):
        return None
    return await get_order(actor, order_id)


async def get_order_by_number(actor: Actor, number: str) -> Order | None:
    digits = number.strip().removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        return None
    return await _find_visible(actor, "number", int(digits))


async def get_order_by_reference(actor: Actor, channel: str, reference: str) -> Order | None:
    found = await find_channel(actor, channel)
    if found is None or not storable(reference, LONGEST_REFERENCE):
        return None
    orders = await rows.read(Order.filter(channel_id=found.id, external_reference=reference))
    return orders[0] if orders else None


async def get_fulfillment(actor: Actor, fulfillment_id: UUID) -> Fulfillment | None:
    fulfillment = await Fulfillment.get_or_none(id=fulfillment_id)
    if fulfillment is None or await get_order(actor, fulfillment.order_id) is None:
        return None
    return fulfillment


async def download_url(line_id: UUID) -> str | None:
    """Return the URL of a line's digital product if units of the line have been fulfilled."""
    line = await OrderLine.get_or_none(id=line_id, shipped_quantity__gt=0)
    return line.download_url if line else None


async def get_channel(actor: Actor, channel_id: UUID) -> Channel | None:
    return await Channel.get_or_none(id=channel_id) if actor.sees(channel_id) else None


@dataclass(frozen=True, slots=True)
class OrderPage:
    orders: list[Order]
    has_next_page: bool
    has_previous_page: bool
    sort: OrderSort = field(default_factory=OrderSort)

    def cursor(self, order: Order) -> str:
        value = getattr(order, self.sort.by.lower())
        if isinstance(value, datetime):
            value = value.isoformat()
        return cursors.encode(_CURSOR, self.sort.by, self.sort.direction, value, str(order.id))


async def list_orders(
    actor: Actor,
    *,
    wanted: OrderFilter | None = None,
    search: str | None = None,
    sort: OrderSort | None = None,
    request: PageRequest | None = None,
) -> OrderPage:
    """Return a page by keyset, as fast at the end of the list as at its beginning. Raise `InvalidInput`."""
    sort, request = sort or OrderSort(), request or PageRequest()
    size = request.size
    if (wanted, search, request.after, request.before) == (None, None, None, None):
        found = await _beginning(actor.channel_ids, sort, request.backward, size + 1, is_postgres()).rows()
    else:
        query = Order.filter(await visible_query(actor, wanted, search))
        ascending = sort.direction is SortDirection.ASC
        if request.after is not None:
            query = query.filter(_beyond(sort, request.after, "after", ascending))
        if request.before is not None:
            query = query.filter(_beyond(sort, request.before, "before", not ascending))
        found = await rows.read(_sort(query, sort, request.backward, size + 1))
    orders, more = found[:size], len(found) > size
    if request.backward:
        orders.reverse()
        return OrderPage(orders, request.before is not None, more, sort)
    return OrderPage(orders, more, request.after is not None, sort)


def _sort(query: QuerySet[Order], sort: OrderSort, backward: bool, limit: int) -> QuerySet[Order]:
    sign = "" if (sort.direction is SortDirection.ASC) is not backward else "-"
    return query.order_by(f"{sign}{sort.by.lower()}", f"{sign}id").limit(limit)


@lru_cache(maxsize=1024)
def _beginning(
    channel_ids: frozenset[UUID] | None, sort: OrderSort, backward: bool, limit: int, _is_postgres: bool
) -> rows.Selection[Order]:
    """Return the first page of all orders, which nearly every client asks for. Its SQL is kept: see
    docs/decisions/0012-hot-paths.md."""
    return rows.Selection.of(_sort(Order.filter(visible(channel_ids)), sort, backward, limit))


def _beyond(sort: OrderSort, cursor: str, field: str, ascending: bool) -> Q:
    """Return the condition for orders beyond a cursor, in the direction of reading."""
    by, direction, value, key = cursors.decode(cursor, _CURSOR, 4, field)
    if (by, direction) != (sort.by, sort.direction):
        raise InvalidInput("This cursor belongs to another sort order.", field)
    column = sort.by.lower()
    comparison = "gt" if ascending else "lt"
    try:
        value = _sort_value(sort.by, value)
        order_id = UUID(key)
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise InvalidInput("This is not a cursor of this list.", field) from None
    # The first condition is implied by the second; it makes either database begin its walk of the index here.
    return Q(**{f"{column}__{comparison}e": value}) & (
        Q(**{f"{column}__{comparison}": value}) | Q(**{column: value, f"id__{comparison}": order_id})
    )


def _sort_value(by: OrderSortField, value: Any) -> Any:
    if by in (OrderSortField.PLACED_AT, OrderSortField.UPDATED_AT):
        return datetime.fromisoformat(value).astimezone(UTC)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(value)
    return value


@dataclass(frozen=True, slots=True)
class OrderCounts:
    total: int
    archived: int
    by_status: Counter[OrderStatus]
    by_payment_status: Counter[PaymentStatus]
    by_fulfillment_status: Counter[FulfillmentStatus]


async def count_orders(actor: Actor, wanted: OrderFilter | None = None) -> OrderCounts:
    """Count the orders along each axis."""
    axes = ("status", "payment_status", "fulfillment_status")
    visible = await visible_query(actor, wanted)
    rows = await Order.filter(visible).annotate(count=Count("id")).group_by(*axes).values(*axes, "count")
    await take_turn()
    counts = OrderCounts(
        total=sum(row["count"] for row in rows),
        archived=await Order.filter(visible, archived_at__isnull=False).count(),
        by_status=Counter(),
        by_payment_status=Counter(),
        by_fulfillment_status=Counter(),
    )
    for row in rows:
        counts.by_status[OrderStatus(row["status"])] += row["count"]
        counts.by_payment_status[PaymentStatus(row["payment_status"])] += row["count"]
        counts.by_fulfillment_status[FulfillmentStatus(row["fulfillment_status"])] += row["count"]
    return counts
