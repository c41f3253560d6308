"""The parts of orders that exist for a fulfillment service: those of what it is asked to ship.

Each function answers as its namesake in `domain.orders.parts`, without what is not the service's. A fulfillment that
it has rejected, or that was cancelled, remains, but is empty.
"""

from collections.abc import Sequence
from uuid import UUID

from domain.orders import parts
from models import Fulfillment, FulfillmentLine, OrderLine, Tracking
from models.engine.rows import Columns
from models.enums import FulfillmentState


async def fulfillments(service_id: UUID, order_ids: Sequence[UUID], columns: Columns = None) -> list[list[Fulfillment]]:
    """Return the service's own fulfillments. They have all columns, because the other parts look at some of them."""
    found = await parts.fulfillments(order_ids)
    return [[each for each in own if each.service_id == service_id] for own in found]


async def _open_or_shipped(service_id: UUID, order_ids: Sequence[UUID]) -> set[UUID]:
    """Return the service's fulfillments that it has not rejected and that were not cancelled."""
    found = await fulfillments(service_id, order_ids)
    return {each.id for own in found for each in own if each.state is not FulfillmentState.CANCELLED}


async def fulfillment_lines(service_id: UUID, order_ids: Sequence[UUID]) -> list[list[FulfillmentLine]]:
    own_ids = await _open_or_shipped(service_id, order_ids)
    found = await parts.fulfillment_lines(order_ids)
    return [[each for each in lines if each.fulfillment_id in own_ids] for lines in found]


async def lines(service_id: UUID, order_ids: Sequence[UUID], columns: Columns = None) -> list[list[OrderLine]]:
    asked = {each.order_line_id for own in await fulfillment_lines(service_id, order_ids) for each in own}
    found = await parts.lines(order_ids, None if columns is None else columns | {"id"})
    return [[each for each in lines if each.id in asked] for lines in found]


async def tracking(service_id: UUID, order_ids: Sequence[UUID], columns: Columns = None) -> list[list[Tracking]]:
    own_ids = await _open_or_shipped(service_id, order_ids)
    found = await parts.tracking(order_ids, None if columns is None else columns | {"fulfillment_id"})
    return [[each for each in numbers if each.fulfillment_id in own_ids] for numbers in found]
