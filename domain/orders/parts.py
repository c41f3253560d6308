"""The parts of many orders at once. Each function is one statement, however many orders there are.

Every function answers in the order of the ids that it gets. Those of `orders`, `channels` and `customers` must exist,
because they come from foreign keys. Nearly all rows are only read (`models.engine.rows`), and have only the columns
that are asked for.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
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
from models.engine import rows
from models.engine.rows import Columns
from models.engine.table import Row
from models.engine.turns import take_turn

_NOTE_COLUMNS: Final = frozenset({"id", "order_id", "fulfillment_id", "position", "number", "locale", "created_at"})


async def _by_id(model: type[Row], ids: Sequence[UUID], *, columns: Columns) -> list[Row]:
    found = {row.id: row for row in await rows.read_by(model, "id", ids, columns=columns)}  # type: ignore[attr-defined]
    return [found[each] for each in ids]


async def _of_orders(model: type[Row], order_ids: Sequence[UUID], *order: str, columns: Columns) -> list[list[Row]]:
    """Return the rows of each order, sorted by those columns."""
    groups: dict[UUID, list[Row]] = {each: [] for each in order_ids}
    found = await rows.read_by(model, "order_id", order_ids, *order, columns=columns)
    for start in range(0, len(found), rows.PIECE):
        if start:
            await take_turn()
        for row in found[start : start + rows.PIECE]:
            groups[row.order_id].append(row)  # type: ignore[attr-defined]
    return [groups[each] for each in order_ids]


async def orders(ids: Sequence[UUID], columns: Columns = None) -> list[Order]:
    return await _by_id(Order, ids, columns=columns)


async def channels(ids: Sequence[UUID], columns: Columns = None) -> list[Channel]:
    return await _by_id(Channel, ids, columns=columns)


async def customers(ids: Sequence[UUID], columns: Columns = None) -> list[Customer]:
    return await _by_id(Customer, ids, columns=columns)


async def services(ids: Sequence[UUID], columns: Columns = None) -> list[FulfillmentService]:
    return await _by_id(FulfillmentService, ids, columns=columns)


async def lines(order_ids: Sequence[UUID], columns: Columns = None) -> list[list[OrderLine]]:
    return await _of_orders(OrderLine, order_ids, "order_id", "position", columns=columns)


async def addresses(order_ids: Sequence[UUID], columns: Columns = None) -> list[list[Address]]:
    return await _of_orders(Address, order_ids, columns=columns)


async def tags(order_ids: Sequence[UUID], columns: Columns = None) -> list[list[OrderTag]]:
    return await _of_orders(OrderTag, order_ids, "order_id", "tag", columns=columns)


async def fulfillments(order_ids: Sequence[UUID], columns: Columns = None) -> list[list[Fulfillment]]:
    return await _of_orders(Fulfillment, order_ids, "order_id", "position", columns=columns)


async def tracking(order_ids: Sequence[UUID], columns: Columns = None) -> list[list[Tracking]]:
    return await _of_orders(Tracking, order_ids, "order_id", "created_at", "id", columns=columns)


async def transactions(order_ids: Sequence[UUID], columns: Columns = None) -> list[list[Transaction]]:
    return await _of_orders(Transaction, order_ids, "order_id", "processed_at", "id", columns=columns)


async def fulfillment_lines(order_ids: Sequence[UUID]) -> list[list[FulfillmentLine]]:
    """Return the lines of all fulfillments with their `order_line`, in the order of the order's lines."""
    rows = (
        await FulfillmentLine.filter(order_line__order_id__in=order_ids)
        .select_related("order_line")
        .order_by("order_line__order_id", "order_line__position")
    )
    groups: dict[UUID, list[FulfillmentLine]] = defaultdict(list)
    for row in rows:
        groups[row.order_line.order_id].append(row)
    return [groups[each] for each in order_ids]


async def delivery_notes(order_ids: Sequence[UUID], columns: Columns = None) -> list[list[DeliveryNote]]:
    """Return the notes without their `document`, oldest first."""
    return await _of_orders(
        DeliveryNote, order_ids, "order_id", "created_at", "id", columns=_NOTE_COLUMNS if columns is None else columns
    )
