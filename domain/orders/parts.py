"""The parts of many orders at once: each function is one statement, however many orders are asked for.

Every function answers in the order of the ids that it was given. Those of `orders`, `channels` and `customers` must
exist: they come from foreign keys.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, TypeVar
from uuid import UUID

from models import (
    Address,
    Channel,
    Customer,
    DeliveryNote,
    Fulfillment,
    FulfillmentLine,
    FulfillmentService,
    Order,
    OrderLine,
    OrderTag,
    Tracking,
    Transaction,
)

Row = TypeVar("Row")

_NOTE_COLUMNS: Final = ("id", "order_id", "fulfillment_id", "position", "number", "locale", "created_at")


def _grouped(ids: Sequence[UUID], rows: Sequence[Row], column: str) -> list[list[Row]]:
    groups: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        groups[getattr(row, column)].append(row)
    return [groups[each] for each in ids]


async def orders(ids: Sequence[UUID]) -> list[Order]:
    found = await Order.in_bulk(ids, "id")
    return [found[each] for each in ids]


async def channels(ids: Sequence[UUID]) -> list[Channel]:
    found = await Channel.in_bulk(ids, "id")
    return [found[each] for each in ids]


async def customers(ids: Sequence[UUID]) -> list[Customer]:
    found = await Customer.in_bulk(ids, "id")
    return [found[each] for each in ids]


async def lines(order_ids: Sequence[UUID]) -> list[list[OrderLine]]:
    rows = await OrderLine.filter(order_id__in=order_ids).order_by("order_id", "position")
    return _grouped(order_ids, rows, "order_id")


async def addresses(order_ids: Sequence[UUID]) -> list[list[Address]]:
    return _grouped(order_ids, await Address.filter(order_id__in=order_ids), "order_id")


async def tags(order_ids: Sequence[UUID]) -> list[list[OrderTag]]:
    rows = await OrderTag.filter(order_id__in=order_ids).order_by("order_id", "tag")
    return _grouped(order_ids, rows, "order_id")


async def fulfillments(order_ids: Sequence[UUID]) -> list[list[Fulfillment]]:
    rows = await Fulfillment.filter(order_id__in=order_ids).order_by("order_id", "position")
    return _grouped(order_ids, rows, "order_id")


async def fulfillment_lines(order_ids: Sequence[UUID]) -> list[list[FulfillmentLine]]:
    """With each line's `order_line`, in the order of the order's lines."""
    rows = (
        await FulfillmentLine.filter(order_line__order_id__in=order_ids)
        .select_related("order_line")
        .order_by("order_line__order_id", "order_line__position")
    )
    groups: dict[UUID, list[FulfillmentLine]] = defaultdict(list)
    for row in rows:
        groups[row.order_line.order_id].append(row)
    return [groups[each] for each in order_ids]


async def delivery_notes(order_ids: Sequence[UUID]) -> list[list[DeliveryNote]]:
    """Oldest first, without what they show (`document`)."""
    rows = (
        await DeliveryNote.filter(order_id__in=order_ids).only(*_NOTE_COLUMNS).order_by("order_id", "created_at", "id")
    )
    return _grouped(order_ids, rows, "order_id")


async def services(ids: Sequence[UUID]) -> list[FulfillmentService]:
    found = await FulfillmentService.in_bulk(ids, "id")
    return [found[each] for each in ids]


async def tracking(order_ids: Sequence[UUID]) -> list[list[Tracking]]:
    rows = await Tracking.filter(order_id__in=order_ids).order_by("order_id", "created_at", "id")
    return _grouped(order_ids, rows, "order_id")


async def transactions(order_ids: Sequence[UUID]) -> list[list[Transaction]]:
    rows = await Transaction.filter(order_id__in=order_ids).order_by("order_id", "processed_at", "id")
    return _grouped(order_ids, rows, "order_id")
