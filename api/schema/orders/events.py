"""Events as GraphQL shows them."""

import contextlib
from datetime import datetime
from typing import Any, ClassVar, Self, cast

import strawberry
from strawberry import Private
from strawberry.scalars import JSON

import models
from api.execution.context import Info
from api.execution.fields import column, composed, loaded, redacted
from api.execution.loaders import Loaders, TimelinePage
from api.execution.rights import GIVEN, PERSONAL, READ, Rights
from api.schema import enums, ids
from api.schema.nodes import Node, PageInfo, node_id
from api.schema.orders.types import Order
from api.schema.personal import without_addresses, without_personal_data
from domain.errors import InvalidInput
from domain.events import id_types
from domain.paging import PageRequest
from domain.stream import event_log
from domain.stream.event_log import CursorExpired, Place

field = strawberry.field

_ID_TYPES = id_types()


@strawberry.type(description="Who did something.")
class Actor:
    RIGHTS: ClassVar[Rights] = {GIVEN: "kind id name"}

    kind: enums.ActorKind = field(description="What kind of caller.")
    id: str | None = field(description="The token's, person's or channel's own key; null for an operator's command.")
    name: str = field(description="The name of the token, person, rule, channel or command.")


@strawberry.type(description="One thing that happened to an order.")
class OrderEvent(Node):
    RIGHTS: ClassVar[Rights] = {
        READ: "id cursor type occurredAt actor orderVersion fromStatus toStatus fromPaymentStatus"
        " toPaymentStatus fromFulfillmentStatus toFulfillmentStatus message order data",
    }

    row: Private[models.OrderEvent]
    id: strawberry.ID = node_id("OrderEvent")
    cursor: str = column(
        "Its place in the log: resume with after: this cursor.",
        event_log.cursor_after,
        *("row.id", "row.order_id", "row.occurred_at"),
    )
    type: enums.OrderEventType = column("What happened.")
    occurred_at: datetime = column("When it happened.")
    actor: Actor = composed("Who did it.", Actor, kind="row.actor_kind", id="row.actor_id", name="row.actor_name")
    order_version: int = column("The order's version after it.")
    from_status: enums.OrderStatus | None = column("The status before, where it changed.")
    to_status: enums.OrderStatus | None = column("The status after, where it changed.")
    from_payment_status: enums.PaymentStatus | None = column("The payment status before, where it changed.")
    to_payment_status: enums.PaymentStatus | None = column("The payment status after, where it changed.")
    from_fulfillment_status: enums.FulfillmentStatus | None = column("The fulfillment status before, where it changed.")
    to_fulfillment_status: enums.FulfillmentStatus | None = column("The fulfillment status after, where it changed.")
    message: str = redacted(
        "What happened, in an English sentence. Without e-mail addresses, unless you have customers:read.",
        PERSONAL,
        without_addresses,
    )
    order: Order = loaded("The order as it is now.", "orders", "order_id", lambda _, row: Order.of(row))

    @classmethod
    def of(cls, row: models.OrderEvent) -> Self:
        return cls(row=row)

    @field(
        description="The details, by the type of event; ids and amounts as elsewhere in this API. Without e-mail"
        " addresses and notes, unless you have customers:read."
    )
    def data(self, info: Info) -> JSON | None:
        data = _with_global_ids(self.row.data)
        return cast(JSON, data if PERSONAL.is_held_by(info.context.actor) else without_personal_data(data))


def _with_global_ids(value: Any, name: str = "") -> Any:
    """Return the data with global ids in place of the rows' keys."""
    if isinstance(value, dict):
        return {key: _with_global_ids(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_global_ids(each, name) for each in value]
    if isinstance(value, str) and name in _ID_TYPES:
        with contextlib.suppress(InvalidInput):  # another version may have other keys under this name
            return ids.encode(_ID_TYPES[name], ids.parse_key(value))
    return value


@strawberry.type(description="An event in a list.")
class OrderEventEdge:
    RIGHTS: ClassVar[Rights] = {GIVEN: "node cursor"}

    node: OrderEvent = field(description="The event.")
    cursor: str = field(description="Its place in the log.")


@strawberry.type(description="A page of events, oldest first.")
class OrderEventConnection:
    RIGHTS: ClassVar[Rights] = {GIVEN: "edges nodes pageInfo"}

    edges: list[OrderEventEdge] = field(description="The events with their cursors.")
    nodes: list[OrderEvent] = field(description="The events.")
    page_info: PageInfo = field(
        description="Where the page lies in the log. There is always an endCursor to resume with, also after no events."
    )

    @classmethod
    async def page(cls, wanted: event_log.EventFilter, first: int | None, after: str | None) -> Self:
        """Return a page of the log. Raise `InvalidInput` for a bad page size or cursor, and `CursorExpired`."""
        size = PageRequest(first=first).size
        place = event_log.BEGINNING if after is None else await event_log.find_place(after)
        rows = await event_log.read(wanted, after=place.position, limit=size + 1)
        return cls._of(rows, size, place)

    @classmethod
    async def timeline(cls, order: models.Order, loaders: Loaders, first: int | None, after: str | None) -> Self:
        """Return a page of an order's events. Raise as `page` does."""
        size = PageRequest(first=first).size
        if after is None or after == event_log.NOW:
            place = event_log.BEGINNING if after is None else await event_log.last_place()
        else:
            place = event_log.parse_cursor(after)
            if not await loaders.places.load(place):
                raise CursorExpired
        rows = await loaders.timelines.load(TimelinePage(order.id, place.position, size + 1))
        return cls._of(rows, size, place)

    @classmethod
    def _of(cls, rows: list[models.OrderEvent], size: int, place: Place) -> Self:
        """Return the page after a position, given its events and one more if there is one."""
        nodes = [OrderEvent.of(row) for row in rows[:size]]
        edges = [OrderEventEdge(node=node, cursor=event_log.cursor_of(node.row)) for node in nodes]
        return cls(
            edges=edges,
            nodes=nodes,
            page_info=PageInfo(
                has_next_page=len(rows) > size,
                has_previous_page=place.position > 0,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else place.cursor,
            ),
        )
