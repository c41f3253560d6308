"""Orders as GraphQL shows them, and lists and counts of them.

Each type is plain: its fields are a row's columns, functions of them, or lists that are loaded for all orders of an
answer at once.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self

import strawberry
from strawberry import Private

import models
from api import enums, ids
from api.context import Info
from api.nodes import Node, PageInfo
from api.orders.parts import (
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
)
from domain.orders import rules
from domain.payments.balances import open_authorizations, under_way, unknown_gateways
from models.enums import AddressKind, FulfillmentState, TransactionKind

if TYPE_CHECKING:
    from api.orders.events import OrderEventConnection

field = strawberry.field


@strawberry.type(description="An order.")
class Order(Node):
    row: Private[models.Order]
    number: str = field(description="The number by which people know it; unique among all channels.")
    version: int = field(description="How many events it has; goes up with every change. See expectedVersion.")
    source: enums.OrderSource = field(description="What kind of place it was placed in.")
    external_reference: str | None = field(description="The channel's own key for it; unique within the channel.")
    external_number: str | None = field(description="The number that the channel shows to its customer, such as #1001.")
    status: enums.OrderStatus = field(description="How far it has come.")
    payment_status: enums.PaymentStatus = field(description="How it stands with its payment.")
    fulfillment_status: enums.FulfillmentStatus = field(description="How much of it has left.")
    placed_at: datetime = field(description="When it was placed.")
    updated_at: datetime = field(description="When it last changed.")
    confirmed_at: datetime | None = field(description="When it was accepted.")
    shipped_at: datetime | None = field(description="When the last units left.")
    cancelled_at: datetime | None = field(description="When it was cancelled.")
    cancel_reason: enums.CancelReason | None = field(description="Why it was cancelled.")
    archived_at: datetime | None = field(description="When it was put away; null unless it is in the archive.")
    held_at: datetime | None = field(
        description="When it was put on hold; null unless it is: no automation touches it."
    )
    hold_reason: str | None = field(description="Why it is on hold.")
    locale: str | None = field(description="The customer's language (BCP 47), such as de-CH.")
    subtotal: Money = field(description="What the lines cost after all discounts.")
    discount_total: Money = field(description="All discounts; they are in the subtotal already.")
    shipping_total: Money = field(description="What the shipping costs.")
    tax_total: Money = field(description="All taxes.")
    taxes_included: bool = field(description="Whether the prices contain the taxes.")
    total: Money = field(description="What the customer pays.")
    paid_total: Money = field(description="What was paid, before refunds.")
    refunded_total: Money = field(description="What was given back.")
    outstanding: Money = field(description="What is still to be paid; nothing once the order is cancelled.")
    note: str | None = field(description="What the customer or staff wrote.")

    @classmethod
    def of(cls, row: models.Order) -> Self:
        return cls(
            id=ids.encode("Order", row.id),
            row=row,
            number=str(row.number),
            version=row.version,
            source=row.source,
            external_reference=row.external_reference,
            external_number=row.external_number,
            status=row.status,
            payment_status=row.payment_status,
            fulfillment_status=row.fulfillment_status,
            placed_at=row.placed_at,
            updated_at=row.updated_at,
            confirmed_at=row.confirmed_at,
            shipped_at=row.shipped_at,
            cancelled_at=row.cancelled_at,
            cancel_reason=row.cancel_reason,
            archived_at=row.archived_at,
            held_at=row.held_at,
            hold_reason=row.hold_reason,
            locale=row.locale,
            subtotal=Money.of(row.subtotal, row.currency),
            discount_total=Money.of(row.discount_total, row.currency),
            shipping_total=Money.of(row.shipping_total, row.currency),
            tax_total=Money.of(row.tax_total, row.currency),
            taxes_included=row.taxes_included,
            total=Money.of(row.total, row.currency),
            paid_total=Money.of(row.paid_total, row.currency),
            refunded_total=Money.of(row.refunded_total, row.currency),
            outstanding=Money.of(row.outstanding, row.currency),
            note=row.note,
        )

    @field(description="Where it came from.")
    async def channel(self, info: Info) -> Channel:
        return Channel.of(await info.context.loaders.channels.load(self.row.channel_id))

    @field(description="Who bought.")
    async def customer(self, info: Info) -> Customer | None:
        if self.row.customer_id is None:
            return None
        return Customer.of(await info.context.loaders.customers.load(self.row.customer_id))

    @field(description="Where it goes; null where nothing is sent, as at a point of sale.")
    async def shipping_address(self, info: Info) -> Address | None:
        return await self._address(info, AddressKind.SHIPPING)

    @field(description="Who is billed.")
    async def billing_address(self, info: Info) -> Address | None:
        return await self._address(info, AddressKind.BILLING)

    async def _address(self, info: Info, kind: AddressKind) -> Address | None:
        rows = await info.context.loaders.addresses.load(self.row.id)
        return next((Address.of(row) for row in rows if row.kind is kind), None)

    @field(description="What was bought.")
    async def lines(self, info: Info) -> list[OrderLine]:
        rows = await info.context.loaders.lines.load(self.row.id)
        return [OrderLine.of(row, self.row.currency) for row in rows]

    @field(description="Its payments and what became of them, oldest first.")
    async def transactions(self, info: Info) -> list[Transaction]:
        rows = await info.context.loaders.transactions.load(self.row.id)
        return [Transaction.of(row, self.row.currency) for row in rows]

    @field(description="Its fulfillments, oldest first.")
    async def fulfillments(self, info: Info) -> list[Fulfillment]:
        loaders = info.context.loaders
        loaders.orders.prime(self.row.id, self.row)  # their lines need its currency
        return [Fulfillment.of(row) for row in await loaders.fulfillments.load(self.row.id)]

    @field(description="The tracking numbers of all its fulfillments, oldest first.")
    async def tracking(self, info: Info) -> list[Tracking]:
        return [Tracking.of(row) for row in await info.context.loaders.tracking.load(self.row.id)]

    @field(description="The delivery notes of all its fulfillments, also those that were replaced; oldest first.")
    async def delivery_notes(self, info: Info) -> list[DeliveryNote]:
        return [DeliveryNote.of(row) for row in await info.context.loaders.delivery_notes.load(self.row.id)]

    @field(description="Words by which it can be found, in alphabetical order.")
    async def tags(self, info: Info) -> list[str]:
        return [row.tag for row in await info.context.loaders.tags.load(self.row.id)]

    @field(description="What can be done with it now, and for what cannot, why not.")
    async def available_actions(self, info: Info) -> list[AvailableAction]:
        loaders, row = info.context.loaders, self.row
        lines = await loaders.lines.load(row.id)
        due = sum(line.quantity - line.removed_quantity - line.shipped_quantity for line in lines)
        fulfillable = sum(line.fulfillable_quantity for line in lines)
        fulfillments = await loaders.fulfillments.load(row.id)
        noted = {note.fulfillment_id for note in await loaders.delivery_notes.load(row.id)}
        transactions = await loaders.transactions.load(row.id)
        authorizations = open_authorizations(transactions)
        situation = rules.Situation(
            status=row.status,
            archived=row.archived_at is not None,
            held=row.held_at is not None,
            outstanding=row.outstanding,
            refundable=row.paid_total - row.refunded_total,
            fulfillable_units=fulfillable,
            requestable_units=sum(line.fulfillable_quantity for line in lines if line.service_id),
            open_units=due - fulfillable,
            tracking_numbers=len(await loaders.tracking.load(row.id)),
            fulfillments_without_note=sum(
                each.state is not FulfillmentState.CANCELLED and each.id not in noted for each in fulfillments
            ),
            authorized=sum(each.amount for each in authorizations),
            capturing=under_way(transactions, TransactionKind.CAPTURE),
            refunding=under_way(transactions, TransactionKind.REFUND),
            unknown_gateways=unknown_gateways(authorizations, info.context.payments.gateways),
        )
        return [
            AvailableAction(action=each.action, available=each.available, reason=each.reason)
            for each in rules.available_actions(situation)
        ]

    @field(description="Its timeline, oldest first.")
    async def events(
        self,
        info: Info,
        first: Annotated[int | None, strawberry.argument(description="How many: 1 to 100; by default 50.")] = None,
        after: Annotated[str | None, strawberry.argument(description="The cursor after which to begin.")] = None,
    ) -> Annotated["OrderEventConnection", strawberry.lazy("api.orders.events")]:
        from api.orders.events import OrderEventConnection

        info.context.loaders.orders.prime(self.row.id, self.row)  # what the events' `order` would load
        return await OrderEventConnection.timeline(self.row, info.context.loaders, first, after)


@strawberry.type(description="An order in a list.")
class OrderEdge:
    node: Order = field(description="The order.")
    cursor: str = field(description="Its place in the list, for after and before.")


@strawberry.type(description="A page of a list of orders.")
class OrderConnection:
    edges: list[OrderEdge] = field(description="The orders with their cursors.")
    nodes: list[Order] = field(description="The orders.")
    page_info: PageInfo = field(description="Where the page lies in the list.")


@strawberry.type(description="How many orders have a status.")
class OrderStatusCount:
    status: enums.OrderStatus = field(description="The status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders have a payment status.")
class PaymentStatusCount:
    status: enums.PaymentStatus = field(description="The payment status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders have a fulfillment status.")
class FulfillmentStatusCount:
    status: enums.FulfillmentStatus = field(description="The fulfillment status.")
    count: int = field(description="How many orders have it.")


@strawberry.type(description="How many orders there are, along each axis.")
class OrderCounts:
    total: int = field(description="All orders that the filter means.")
    archived: int = field(description="How many of them are in the archive.")
    by_status: list[OrderStatusCount] = field(description="By status; each status once, also those of no order.")
    by_payment_status: list[PaymentStatusCount] = field(description="By payment status; each once.")
    by_fulfillment_status: list[FulfillmentStatusCount] = field(description="By fulfillment status; each once.")
