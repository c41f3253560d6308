"""The parts of orders as GraphQL shows them."""

from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Self
from uuid import UUID

import strawberry
from strawberry import Private

import models
from api.execution.context import Info
from api.execution.fields import column, composed
from api.execution.rights import GIVEN, NOTES, PERSONAL, PRINTED, READ, SETTINGS, SUMS, Rights
from api.schema import enums, ids
from api.schema.nodes import Node, node_id
from domain import money
from domain.egress import without_user

field = strawberry.field


@strawberry.type(description="An amount of money.")
class Money:
    RIGHTS: ClassVar[Rights] = {GIVEN: "amount currencyCode"}

    minor: Private[int]
    amount: Decimal = column(
        "The amount, with as many decimals as the currency has.", money.to_decimal, "minor", "currency_code"
    )
    currency_code: str = field(description="The currency's code (ISO 4217).")


def amount_field(description: str, name: str, currency: str) -> Any:
    """Declare a field: the amount in that column of the row, in the currency at this path."""
    return composed(description, Money, minor=f"row.{name}", currency_code=currency)


def _amount(description: str, name: str) -> Any:
    return amount_field(description, name, "currency")


@strawberry.type(description="Where orders come from: a web shop, a marketplace, a till.")
class Channel(Node):
    RIGHTS: ClassVar[Rights] = {GIVEN: "id code name"}

    row: Private[models.Channel]
    id: strawberry.ID = node_id("Channel")
    code: str = column("The name by which programs know it.")
    name: str = column("The name by which people know it.")

    @classmethod
    def of(cls, row: models.Channel) -> Self:
        return cls(row=row)


@strawberry.type(description="Who bought, as the order's channel knows them.")
class Customer:
    RIGHTS: ClassVar[Rights] = {PERSONAL: "id email name phone"}

    row: Private[models.Customer]
    id: strawberry.ID = node_id("Customer", "An opaque id.")
    email: str | None = column("E-mail address, in lower case.")
    name: str | None = column("Full name.")
    phone: str | None = column("Telephone number as it was given.")

    @classmethod
    def of(cls, row: models.Customer) -> Self:
        return cls(row=row)


@strawberry.type(description="A postal address as it was given with the order.")
class Address:
    RIGHTS: ClassVar[Rights] = {GIVEN: "name company address1 address2 postalCode city province countryCode phone"}

    row: Private[models.Address]
    name: str | None = column("The person's name.")
    company: str | None = column("The company's name.")
    address1: str | None = column("Street and number.")
    address2: str | None = column("What else the address needs.")
    postal_code: str | None = column("Postal code.")
    city: str | None = column("Town.")
    province: str | None = column("State, canton or province.")
    country_code: str | None = column("The country's code (ISO 3166-1 alpha-2).")
    phone: str | None = column("Telephone number for the delivery.")

    @classmethod
    def of(cls, row: models.Address) -> Self:
        return cls(row=row)


@strawberry.type(description="Somebody who packs and ships for the merchant.")
class FulfillmentService:
    RIGHTS: ClassVar[Rights] = {
        GIVEN: "code name",
        SETTINGS: "email url",
    }

    row: Private[models.FulfillmentService]
    code: str = column("The name by which programs know it.")
    name: str = column("The name by which people know it.")
    email: str | None = column("Where it is asked if it has no URL.")
    url: str | None = column(
        "Where it is asked, by calls that are signed (Standard Webhooks).", without_user, "row.url"
    )

    @classmethod
    def of(cls, row: models.FulfillmentService) -> Self:
        return cls(row=row)


@strawberry.type(description="A position of an order.")
class OrderLine:
    RIGHTS: ClassVar[Rights] = {
        GIVEN: "id sku title variantTitle quantity requiresShipping weightGrams removedQuantity"
        " fulfillableQuantity shippedQuantity service",
        SUMS: "unitPrice discountTotal taxTotal total",
        READ: "download",
    }

    row: Private[models.OrderLine]
    currency: Private[str]
    id: strawberry.ID = node_id("OrderLine", "An opaque id.")
    sku: str | None = column("Stock-keeping unit.")
    title: str = column("What was bought.")
    variant_title: str | None = column("Which variant of it.")
    quantity: int = column("Units ordered.")
    unit_price: Money = _amount("The price of one unit before discounts.", "unit_price")
    discount_total: Money = _amount("The discount on all units of the line.", "discount_total")
    tax_total: Money = _amount("The tax on all units of the line, where it is known by line.", "tax_total")
    total: Money = _amount("What the line costs after its discount.", "total")
    requires_shipping: bool = column("Whether it has to be sent.")
    weight_grams: int | None = column("The weight of one unit, in grams, where it is known.")
    removed_quantity: int = column("Units that were taken out of the order and will not ship.")
    fulfillable_quantity: int = column("Units that are due and not in any fulfillment yet.")
    shipped_quantity: int = column("Units that have left.")

    @classmethod
    def of(cls, row: models.OrderLine, currency: str) -> Self:
        return cls(row=row, currency=currency)

    @field(description="Who ships it, where that is a fulfillment service.")
    async def service(self, info: Info) -> FulfillmentService | None:
        return await _service(info, self.row.service_id)

    @field(
        description="Where its digital product can be downloaded: a link that needs no token and expires. Null until"
        " units of it have been fulfilled."
    )
    async def download(self, info: Info) -> str | None:
        if self.row.download_url is None or not self.row.shipped_quantity:
            return None
        return await info.context.server.links.download(self.row.id)


async def _service(info: Info, service_id: UUID | None) -> FulfillmentService | None:
    return FulfillmentService.of(await info.context.loaders.services.load(service_id)) if service_id else None


@strawberry.type(description="A movement of money for an order, or a promise of one.")
class Transaction:
    RIGHTS: ClassVar[Rights] = {READ: "id kind status amount gateway reference failure parentId processedAt"}

    row: Private[models.Transaction]
    currency: Private[str]
    id: strawberry.ID = node_id("Transaction", "An opaque id.")
    kind: enums.TransactionKind = column("What it does.")
    status: enums.TransactionStatus = column("What became of it.")
    amount: Money = _amount("How much.", "amount")
    gateway: str = column("Who moved the money; manual for money that is handled outside.")
    reference: str | None = column("The gateway's or the payer's reference.")
    failure: str | None = column("Why the gateway has refused it, in the gateway's words.", long_text=True)
    parent_id: strawberry.ID | None = column(
        "The id of the authorization that this captures from or gives up, or the payment that it refunds.",
        lambda key: None if key is None else ids.encode("Transaction", key),
        "row.parent_id",
    )
    processed_at: datetime = column("When it was carried out, or the gateway was first asked for it.")

    @classmethod
    def of(cls, row: models.Transaction, currency: str) -> Self:
        return cls(row=row, currency=currency)


@strawberry.type(description="A carrier's number by which a parcel can be followed.")
class Tracking:
    RIGHTS: ClassVar[Rights] = {GIVEN: "id number carrier url fulfillmentId createdAt updatedAt"}

    row: Private[models.Tracking]
    id: strawberry.ID = node_id("Tracking", "An opaque id.")
    number: str = column("The tracking number.")
    carrier: str | None = column("The carrier's name.")
    url: str | None = column("Where the parcel can be followed.", long_text=True)
    fulfillment_id: strawberry.ID = column(
        "The id of the fulfillment that it belongs to.",
        partial(ids.encode, "Fulfillment"),
        "row.fulfillment_id",
    )
    created_at: datetime = column("When it was added.")
    updated_at: datetime = column("When it was last corrected.")

    @classmethod
    def of(cls, row: models.Tracking) -> Self:
        return cls(row=row)


@strawberry.type(description="Units of one line in a fulfillment.")
class FulfillmentLine:
    RIGHTS: ClassVar[Rights] = {GIVEN: "quantity line"}

    quantity: int = field(description="How many units of the line.")
    line: OrderLine = field(description="The order's line.")


@strawberry.type(description="Units of an order that leave together, in one parcel or several.")
class Fulfillment(Node):
    RIGHTS: ClassVar[Rights] = {
        GIVEN: "id state requestStatus rejection createdAt shippedAt service lines tracking",
        NOTES: "deliveryNote",
    }

    row: Private[models.Fulfillment]
    id: strawberry.ID = node_id("Fulfillment")
    state: enums.FulfillmentState = column("How far it has come.")
    request_status: enums.RequestStatus | None = column(
        "What the fulfillment service has answered; null where none was asked."
    )
    rejection: str | None = column("Why the fulfillment service does not ship it.", long_text=True)
    created_at: datetime = column("When it was opened.")
    shipped_at: datetime | None = column("When it left.")

    @classmethod
    def of(cls, row: models.Fulfillment) -> Self:
        return cls(row=row)

    @field(description="Who ships it, where that is a fulfillment service.")
    async def service(self, info: Info) -> FulfillmentService | None:
        return await _service(info, self.row.service_id)

    @field(description="What is in it.")
    async def lines(self, info: Info) -> list[FulfillmentLine]:
        loaders = info.context.loaders
        order = await loaders.orders.load(self.row.order_id)
        rows = await loaders.fulfillment_lines.load(self.row.order_id)
        return [
            FulfillmentLine(quantity=row.quantity, line=OrderLine.of(row.order_line, order.currency))
            for row in rows
            if row.fulfillment_id == self.row.id
        ]

    @field(description="Its tracking numbers, oldest first.")
    async def tracking(self, info: Info) -> list[Tracking]:
        rows = await info.context.loaders.tracking.load(self.row.order_id)
        return [Tracking.of(row) for row in rows if row.fulfillment_id == self.row.id]

    @field(description="Its delivery note: the newest, where one was replaced; null where none was created.")
    async def delivery_note(self, info: Info) -> "DeliveryNote | None":
        rows = await info.context.loaders.delivery_notes.load(self.row.order_id)
        mine = [row for row in rows if row.fulfillment_id == self.row.id]
        return DeliveryNote.of(max(mine, key=lambda row: row.position)) if mine else None


@strawberry.type(
    description="What goes into the parcel: the paper of a fulfillment, under a number of its own that is never given"
    " again. It shows the order as it was when the note was created."
)
class DeliveryNote(Node):
    RIGHTS: ClassVar[Rights] = {
        GIVEN: "id number createdAt locale",
        NOTES: "fulfillment replaces replacedBy",
        PRINTED: "url",
    }

    row: Private[models.DeliveryNote]
    id: strawberry.ID = node_id("DeliveryNote")
    number: str = column("Its number, such as LS-2026-000042.")
    created_at: datetime = column("When it was created.")
    locale: str = column("The language it is written in (BCP 47), such as de-CH.")

    @classmethod
    def of(cls, row: models.DeliveryNote) -> Self:
        return cls(row=row)

    @field(
        description="Where its PDF is: a link that needs no token and expires. Read it anew when it has. Needs"
        " customers:read."
    )
    async def url(self, info: Info) -> str:
        return await info.context.server.links.delivery_note(self.row.id)

    @field(description="What it is the note of.")
    async def fulfillment(self, info: Info) -> Fulfillment:
        rows = await info.context.loaders.fulfillments.load(self.row.order_id)
        return next(Fulfillment.of(row) for row in rows if row.id == self.row.fulfillment_id)

    @field(description="The note that this one was created in place of.")
    async def replaces(self, info: Info) -> Self | None:
        return await self._neighbour(info, -1)

    @field(description="The note that was created in place of this one.")
    async def replaced_by(self, info: Info) -> Self | None:
        return await self._neighbour(info, +1)

    async def _neighbour(self, info: Info, distance: int) -> Self | None:
        rows = await info.context.loaders.delivery_notes.load(self.row.order_id)
        wanted = (self.row.fulfillment_id, self.row.position + distance)
        return next((self.of(row) for row in rows if (row.fulfillment_id, row.position) == wanted), None)


@strawberry.type(description="Something that you can do with the order now, or why you cannot.")
class AvailableAction:
    RIGHTS: ClassVar[Rights] = {GIVEN: "action available reason code"}

    action: enums.OrderAction = field(description="What would be done.")
    available: bool = field(description="Whether it can be done now.")
    reason: str | None = field(description="Why it cannot, for people.")
    code: enums.ActionRefusalCode | None = field(description="Why it cannot, for programs.")
