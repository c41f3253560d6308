"""Orders as GraphQL shows them, and lists and counts of them.

A field is a column of the row, a function of columns, or a list that is loaded for all orders of an answer at once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import strawberry
from strawberry import Private

import models
from api.execution.context import Context, Info
from api.execution.fields import column, loaded
from api.execution.rights import DESTINATION, GIVEN, GOODS, NOTES, PERSONAL, READ, SUMS, Rights
from api.schema import enums
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
from domain.orders import actions
from domain.orders.queries import OrderPage
from domain.payments.balances import open_authorizations, under_way, unknown_gateways
from models.engine.turns import take_turn
from models.enums import AddressKind, FulfillmentState, TransactionKind

if TYPE_CHECKING:
    from api.schema.orders.events import OrderEventConnection

field = strawberry.field


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
    ) -> Annotated["OrderEventConnection", strawberry.lazy("api.schema.orders.events")]:
        from api.schema.orders.events import OrderEventConnection

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


@strawberry.type(description="How many orders have a status.")
class OrderStatusCount:
    RIGHTS: ClassVar[Rights] = {GIVEN: "status count"}

    status: enums.OrderStatus = field(description="The status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders have a payment status.")
class PaymentStatusCount:
    RIGHTS: ClassVar[Rights] = {GIVEN: "status count"}

    status: enums.PaymentStatus = field(description="The payment status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders have a fulfillment status.")
class FulfillmentStatusCount:
    RIGHTS: ClassVar[Rights] = {GIVEN: "status count"}

    status: enums.FulfillmentStatus = field(description="The fulfillment status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders there are, along each axis.")
class OrderCounts:
    RIGHTS: ClassVar[Rights] = {GIVEN: "total archived byStatus byPaymentStatus byFulfillmentStatus"}

    total: int = field(description="All orders that the filter means.")
    archived: int = field(description="How many of them are in the archive.")
    by_status: list[OrderStatusCount] = field(description="By status; each status once, also those of no order.")
    by_payment_status: list[PaymentStatusCount] = field(description="By payment status; each once.")
    by_fulfillment_status: list[FulfillmentStatusCount] = field(description="By fulfillment status; each once.")
