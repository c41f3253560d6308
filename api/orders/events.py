"""Events as GraphQL shows them."""

from datetime import datetime
from typing import Any, Self, cast

import strawberry
from strawberry import Private
from strawberry.scalars import JSON

import models
from api import enums, ids
from api.context import Info
from api.loaders import Loaders, TimelinePage
from api.nodes import Node, PageInfo
from api.orders.types import Order
from domain import event_log
from domain.orders.queries import PageRequest

field = strawberry.field

_ID_TYPES = {
    "deliveryNoteId": "DeliveryNote",
    "effectId": "Effect",
    "fulfillmentId": "Fulfillment",
    "lineId": "OrderLine",
    "replacesId": "DeliveryNote",
    "trackingId": "Tracking",
    "transactionId": "Transaction",
}


@strawberry.type(description="Who did something.")
class Actor:
    kind: enums.ActorKind = field(description="What kind of caller.")
    id: str | None = field(description="The token's, person's or channel's own key; null for an operator's command.")
    name: str = field(description="The name of the token, person, rule, channel or command.")


@strawberry.type(description="One thing that happened to an order.")
class OrderEvent(Node):
    row: Private[models.OrderEvent]
    cursor: str = field(description="Its place in the log: resume with after: this cursor.")
    type: enums.OrderEventType = field(description="What happened.")
    occurred_at: datetime = field(description="When it happened.")
    actor: Actor = field(description="Who did it.")
    order_version: int = field(description="The order's version after it.")
    from_status: enums.OrderStatus | None = field(description="The status before, where it changed.")
    to_status: enums.OrderStatus | None = field(description="The status after, where it changed.")
    from_payment_status: enums.PaymentStatus | None = field(description="The payment status before, where it changed.")
    to_payment_status: enums.PaymentStatus | None = field(description="The payment status after, where it changed.")
    from_fulfillment_status: enums.FulfillmentStatus | None = field(
        description="The fulfillment status before, where it changed."
    )
    to_fulfillment_status: enums.FulfillmentStatus | None = field(
        description="The fulfillment status after, where it changed."
    )
    message: str = field(description="What happened, in an English sentence.")

    @classmethod
    def of(cls, row: models.OrderEvent) -> Self:
        return cls(
            id=ids.encode("OrderEvent", row.id),
            row=row,
            cursor=event_log.cursor_of(row),
            type=row.type,
            occurred_at=row.occurred_at,
            actor=Actor(kind=row.actor_kind, id=row.actor_id, name=row.actor_name),
            order_version=row.order_version,
            from_status=row.from_status,
            to_status=row.to_status,
            from_payment_status=row.from_payment_status,
            to_payment_status=row.to_payment_status,
            from_fulfillment_status=row.from_fulfillment_status,
            to_fulfillment_status=row.to_fulfillment_status,
            message=row.message,
        )

    @field(description="The order as it is now.")
    async def order(self, info: Info) -> Order:
        return Order.of(await info.context.loaders.orders.load(self.row.order_id))

    @field(description="The details, by the type of event; ids and amounts as elsewhere in this API.")
    def data(self) -> JSON | None:
        return cast(JSON, _with_global_ids(self.row.data))


def _with_global_ids(value: Any, name: str = "") -> Any:
    """The log keeps the rows' keys; callers know things by their global ids."""
    if isinstance(value, dict):
        return {key: _with_global_ids(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_global_ids(each, name) for each in value]
    if isinstance(value, str) and name in _ID_TYPES:
        return ids.encode(_ID_TYPES[name], ids.parse_key(value))
    return value


@strawberry.type(description="An event in a list.")
class OrderEventEdge:
    node: OrderEvent = field(description="The event.")
    cursor: str = field(description="Its place in the log.")


@strawberry.type(description="A page of events, oldest first.")
class OrderEventConnection:
    edges: list[OrderEventEdge] = field(description="The events with their cursors.")
    nodes: list[OrderEvent] = field(description="The events.")
    page_info: PageInfo = field(
        description="Where the page lies in the log. There is always an endCursor to resume with, also after no events."
    )

    @classmethod
    async def page(cls, wanted: event_log.EventFilter, first: int | None, after: str | None) -> Self:
        """Of the log. Raises `InvalidInput` for a page size or a cursor that is none."""
        size, position = _window(first, after)
        rows = await event_log.read(wanted, after=position, limit=size + 1)
        return cls._of(rows, size, position)

    @classmethod
    async def timeline(cls, order: models.Order, loaders: Loaders, first: int | None, after: str | None) -> Self:
        """Of an order that the caller has been given. Raises as `page` does."""
        size, position = _window(first, after)
        rows = await loaders.timelines.load(TimelinePage(order.id, position, size + 1))
        return cls._of(rows, size, position)

    @classmethod
    def _of(cls, rows: list[models.OrderEvent], size: int, position: int) -> Self:
        """The page after a position, from its events and one more where there is one."""
        nodes = [OrderEvent.of(row) for row in rows[:size]]
        return cls(
            edges=[OrderEventEdge(node=node, cursor=node.cursor) for node in nodes],
            nodes=nodes,
            page_info=PageInfo(
                has_next_page=len(rows) > size,
                has_previous_page=position > 0,
                start_cursor=nodes[0].cursor if nodes else None,
                end_cursor=nodes[-1].cursor if nodes else event_log.cursor_at(position),
            ),
        )


def _window(first: int | None, after: str | None) -> tuple[int, int]:
    """How many events, and after which place in the log. Raises `InvalidInput`."""
    return PageRequest(first=first).size, 0 if after is None else event_log.position_of(after)
