"""Orders and their events as GraphQL shows them, and lists of them.

A field is a column of the row, a function of columns, or a list that is loaded for all orders of an answer at once.
"""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self, cast

import strawberry
from strawberry import Private
from strawberry.scalars import JSON

import models
from api.execution.context import Context, Info
from api.execution.fields import column, composed, loaded, redacted
from api.execution.loaders import Loaders, TimelinePage
from api.execution.rights import DESTINATION, GIVEN, GOODS, NOTES, PERSONAL, READ, SUMS, Rights
from api.schema import enums, ids
from api.schema.nodes import Node, PageInfo, node_id
from api.schema.orders.parts import (
    Address,
    AvailableAction,
    Channel,
    Customer,
    DeliveryNote,
    Fulfillment,
    Money,
    OrderLine,
    Tracking,
    Transaction,
    amount_field,
)
from api.schema.personal import without_addresses, without_personal_data
from domain.errors import InvalidInput
from domain.events import id_types
from domain.orders import actions
from domain.orders.queries import OrderPage
from domain.paging import PageRequest
from domain.payments.balances import open_authorizations, under_way, unknown_gateways
from domain.stream import event_log
from domain.stream.event_log import Place
from models.engine.turns import take_turn
from models.enums import AddressKind, FulfillmentState, TransactionKind

field = strawberry.field

_ID_TYPES = id_types()


def _amount(description: str, name: str) -> Any:
    """Declare one of the order's sums, by its column."""
    return amount_field(description, name, "row.currency")


def _address(rows: Sequence[models.Address], kind: AddressKind) -> Address | None:
    return next((Address.of(row) for row in rows if row.kind is kind), None)


@strawberry.type(description="An order.")
class Order(Node):
    RIGHTS: ClassVar[Rights] = {
        GIVEN: "id number version source externalReference externalNumber status paymentStatus"
        " fulfillmentStatus placedAt updatedAt confirmedAt shippedAt cancelledAt cancelReason"
        " archivedAt heldAt channel availableActions",
        GOODS: "lines fulfillments tracking",
        NOTES: "deliveryNotes",
        SUMS: "subtotal discountTotal shippingTotal taxTotal taxesIncluded total paidTotal refundedTotal outstanding",
        READ: "holdReason locale tags transactions events",
        PERSONAL: "customer billingAddress note",
        DESTINATION: "shippingAddress",
    }

    row: Private[models.Order]
    id: strawberry.ID = node_id("Order")
    number: str = column("The number by which people know it; unique among all channels.", str, "row.number")
    version: int = column("How many events it has; goes up with every change. See expectedVersion.")
    source: enums.OrderSource = column("What kind of place it was placed in.")
    external_reference: str | None = column("The channel's own key for it; unique within the channel.")
    external_number: str | None = column("The number that the channel shows to its customer, such as #1001.")
    status: enums.OrderStatus = column("How far it has come.")
    payment_status: enums.PaymentStatus = column("How it stands with its payment.")
    fulfillment_status: enums.FulfillmentStatus = column("How much of it has left.")
    placed_at: datetime = column("When it was placed.")
    updated_at: datetime = column("When it last changed.")
    confirmed_at: datetime | None = column("When it was accepted.")
    shipped_at: datetime | None = column("When the last units left.")
    cancelled_at: datetime | None = column("When it was cancelled.")
    cancel_reason: enums.CancelReason | None = column("Why it was cancelled.")
    archived_at: datetime | None = column("When it was put away; null unless it is in the archive.")
    held_at: datetime | None = column("When it was put on hold; null unless it is: no automation touches it.")
    hold_reason: str | None = column("Why it is on hold.", long_text=True)
    locale: str | None = column("The customer's language (BCP 47), such as de-CH.")
    subtotal: Money = _amount("What the lines cost after all discounts.", "subtotal")
    discount_total: Money = _amount("All discounts; they are in the subtotal already.", "discount_total")
    shipping_total: Money = _amount("What the shipping costs.", "shipping_total")
    tax_total: Money = _amount("All taxes.", "tax_total")
    taxes_included: bool = column("Whether the prices contain the taxes.")
    total: Money = _amount("What the customer pays.", "total")
    paid_total: Money = _amount("What was paid, before refunds.", "paid_total")
    refunded_total: Money = _amount("What was given back.", "refunded_total")
    outstanding: Money = _amount("What is still to be paid; nothing once the order is cancelled.", "outstanding")
    note: str | None = column("What the customer or staff wrote.", long_text=True)

    @classmethod
    def of(cls, row: models.Order) -> Self:
        return cls(row=row)

    channel: Channel = loaded("Where it came from.", "channels", "channel_id", lambda _, row: Channel.of(row))
    customer: Customer | None = loaded("Who bought.", "customers", "customer_id", lambda _, row: Customer.of(row))
    shipping_address: Address | None = loaded(
        "Where it goes; null where nothing is sent, as at a point of sale.",
        "addresses",
        "id",
        lambda _, rows: _address(rows, AddressKind.SHIPPING),
        theirs=("kind",),
    )
    billing_address: Address | None = loaded(
        "Who is billed.", "addresses", "id", lambda _, rows: _address(rows, AddressKind.BILLING), theirs=("kind",)
    )
    lines: list[OrderLine] = loaded(
        "What was bought.",
        "lines",
        "id",
        lambda order, rows: [OrderLine.of(row, order.row.currency) for row in rows],
        own=("currency",),
    )
    transactions: list[Transaction] = loaded(
        "Its payments and what became of them, oldest first.",
        "transactions",
        "id",
        lambda order, rows: [Transaction.of(row, order.row.currency) for row in rows],
        own=("currency",),
    )

    @field(description="Its fulfillments, oldest first.")
    async def fulfillments(self, info: Info) -> list[Fulfillment]:
        loaders = info.context.loaders
        loaders.orders.prime(self.row.id, self.row)  # their lines need its currency
        return [Fulfillment.of(row) for row in await loaders.fulfillments.load(self.row.id)]

    tracking: list[Tracking] = loaded(
        "The tracking numbers of all its fulfillments, oldest first.",
        "tracking",
        "id",
        lambda _, rows: [Tracking.of(row) for row in rows],
    )
    delivery_notes: list[DeliveryNote] = loaded(
        "The delivery notes of all its fulfillments, also those that were replaced; oldest first.",
        "delivery_notes",
        "id",
        lambda _, rows: [DeliveryNote.of(row) for row in rows],
    )
    tags: list[str] = loaded(
        "Words by which it can be found, in alphabetical order.",
        "tags",
        "id",
        lambda _, rows: [row.tag for row in rows],
        theirs=("tag",),
    )

    @field(description="What you can do with it now, and for what you cannot, why not.")
    async def available_actions(self, info: Info) -> list[AvailableAction]:
        actor = info.context.actor
        situation = await _situation(self.row, info.context, is_service=actor.service_id is not None)
        if info.context.budget.is_long:
            await take_turn()
        return [
            AvailableAction(action=each.action, available=each.available, reason=each.reason, code=each.code)
            for each in actions.available_actions(situation, actor)
        ]

    @field(description="Its timeline, oldest first.")
    async def events(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many: 1 to 100; by default 50.")] = None,
        after: Annotated[
            str | None,
            strawberry.argument(description='The cursor after which to begin; "now" for the end of the event log.'),
        ] = None,
    ) -> "OrderEventConnection":
        info.context.loaders.orders.prime(self.row.id, self.row)  # what the events' `order` would load
        return await OrderEventConnection.timeline(self.row, info.context.loaders, first, after)


async def _situation(row: models.Order, context: Context, *, is_service: bool) -> actions.Situation:
    """Return what decides on the order's actions. A fulfillment service ships its own fulfillments and nothing else."""
    loaders = context.loaders
    lines = await loaders.lines.load(row.id)
    fulfillments = await loaders.fulfillments.load(row.id)
    noted = {note.fulfillment_id for note in await loaders.delivery_notes.load(row.id)}
    transactions = await loaders.transactions.load(row.id)
    authorizations = open_authorizations(transactions)
    if is_service:
        fulfillable, in_fulfillments = 0, sum(each.state is FulfillmentState.OPEN for each in fulfillments)
    else:
        fulfillable = sum(line.fulfillable_quantity for line in lines)
        due = sum(line.quantity - line.removed_quantity - line.shipped_quantity for line in lines)
        in_fulfillments = due - fulfillable
    return actions.Situation(
        status=row.status,
        archived=row.archived_at is not None,
        held=row.held_at is not None,
        outstanding=row.outstanding,
        refundable=row.paid_total - row.refunded_total,
        fulfillable_units=fulfillable,
        requestable_units=sum(line.fulfillable_quantity for line in lines if line.service_id),
        open_units=in_fulfillments,
        tracking_numbers=len(await loaders.tracking.load(row.id)),
        fulfillments_without_note=sum(
            each.state is not FulfillmentState.CANCELLED and each.id not in noted for each in fulfillments
        ),
        authorized=sum(each.amount for each in authorizations),
        capturing=under_way(transactions, TransactionKind.CAPTURE),
        refunding=under_way(transactions, TransactionKind.REFUND),
        unknown_gateways=unknown_gateways(authorizations, context.server.payments.gateways),
        asked=not is_service or any(each.state is not FulfillmentState.CANCELLED for each in fulfillments),
    )


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
        place = event_log.BEGINNING if after is None else await loaders.places.load(after)
        if isinstance(place, InvalidInput):
            raise place
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


def _page_info(page: OrderPage) -> PageInfo:
    return PageInfo(
        has_next_page=page.has_next_page,
        has_previous_page=page.has_previous_page,
        start_cursor=page.cursor(page.orders[0]) if page.orders else None,
        end_cursor=page.cursor(page.orders[-1]) if page.orders else None,
    )


@strawberry.type(description="An order in a list.")
class OrderEdge:
    RIGHTS: ClassVar[Rights] = {GIVEN: "node cursor"}

    row: Private[models.Order]
    page: Private[OrderPage]
    node: Order = column("The order.", lambda edge: Order.of(edge.row))
    cursor: str = column("Its place in the list, for after and before.", lambda edge: edge.page.cursor(edge.row))


@strawberry.type(description="A page of a list of orders.")
class OrderConnection:
    RIGHTS: ClassVar[Rights] = {GIVEN: "edges nodes pageInfo"}

    page: Private[OrderPage]
    edges: list[OrderEdge] = column(
        "The orders with their cursors.",
        lambda connection: [OrderEdge(row=row, page=connection.page) for row in connection.page.orders],
    )
    nodes: list[Order] = column("The orders.", lambda connection: [Order.of(row) for row in connection.page.orders])
    page_info: PageInfo = column("Where the page lies in the list.", lambda connection: _page_info(connection.page))
