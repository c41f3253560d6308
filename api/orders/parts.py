"""The parts of orders as GraphQL shows them: as plain as the orders themselves."""

from datetime import datetime
from decimal import Decimal
from typing import Self
from uuid import UUID

import strawberry
from strawberry import Private

import models
from api import enums, ids
from api.context import Info
from api.nodes import Node
from domain import money

field = strawberry.field


@strawberry.type(description="An amount of money.")
class Money:
    amount: Decimal = field(description="The amount, with as many decimals as the currency has.")
    currency_code: str = field(description="The currency's code (ISO 4217).")

    @classmethod
    def of(cls, minor: int, currency: str) -> Self:
        return cls(amount=money.to_decimal(minor, currency), currency_code=currency)


@strawberry.type(description="Where orders come from: a web shop, a marketplace, a till.")
class Channel(Node):
    code: str = field(description="The name by which programs know it.")
    name: str = field(description="The name by which people know it.")

    @classmethod
    def of(cls, row: models.Channel) -> Self:
        return cls(id=ids.encode("Channel", row.id), code=row.code, name=row.name)


@strawberry.type(description="Who bought, as the order's channel knows them.")
class Customer:
    id: strawberry.ID = field(description="An opaque id.")
    email: str | None = field(description="E-mail address, in lower case.")
    name: str | None = field(description="Full name.")
    phone: str | None = field(description="Telephone number as it was given.")

    @classmethod
    def of(cls, row: models.Customer) -> Self:
        return cls(id=ids.encode("Customer", row.id), email=row.email, name=row.name, phone=row.phone)


@strawberry.type(description="A postal address as it was given with the order.")
class Address:
    name: str | None = field(description="The person's name.")
    company: str | None = field(description="The company's name.")
    address1: str | None = field(description="Street and number.")
    address2: str | None = field(description="What else the address needs.")
    postal_code: str | None = field(description="Postal code.")
    city: str | None = field(description="Town.")
    province: str | None = field(description="State, canton or province.")
    country_code: str | None = field(description="The country's code (ISO 3166-1 alpha-2).")
    phone: str | None = field(description="Telephone number for the delivery.")

    @classmethod
    def of(cls, row: models.Address) -> Self:
        return cls(
            name=row.name,
            company=row.company,
            address1=row.address1,
            address2=row.address2,
            postal_code=row.postal_code,
            city=row.city,
            province=row.province,
            country_code=row.country_code,
            phone=row.phone,
        )


@strawberry.type(description="Somebody who packs and ships for the merchant.")
class FulfillmentService:
    code: str = field(description="The name by which programs know it.")
    name: str = field(description="The name by which people know it.")
    email: str | None = field(description="Where it is asked if it has no URL.")
    url: str | None = field(description="Where it is asked, by calls that are signed (Standard Webhooks).")

    @classmethod
    def of(cls, row: models.FulfillmentService) -> Self:
        return cls(code=row.code, name=row.name, email=row.email, url=row.url)


@strawberry.type(description="A position of an order.")
class OrderLine:
    row: Private[models.OrderLine]
    id: strawberry.ID = field(description="An opaque id.")
    sku: str | None = field(description="Stock-keeping unit.")
    title: str = field(description="What was bought.")
    variant_title: str | None = field(description="Which variant of it.")
    quantity: int = field(description="Units ordered.")
    unit_price: Money = field(description="The price of one unit before discounts.")
    discount_total: Money = field(description="The discount on all units of the line.")
    tax_total: Money = field(description="The tax on all units of the line, where it is known by line.")
    total: Money = field(description="What the line costs after its discount.")
    requires_shipping: bool = field(description="Whether it has to be sent.")
    weight_grams: int | None = field(description="The weight of one unit, in grams, where it is known.")
    removed_quantity: int = field(description="Units that were taken out of the order and will not ship.")
    fulfillable_quantity: int = field(description="Units that are due and not in any fulfillment yet.")
    shipped_quantity: int = field(description="Units that have left.")

    @classmethod
    def of(cls, row: models.OrderLine, currency: str) -> Self:
        return cls(
            id=ids.encode("OrderLine", row.id),
            row=row,
            sku=row.sku,
            title=row.title,
            variant_title=row.variant_title,
            quantity=row.quantity,
            unit_price=Money.of(row.unit_price, currency),
            discount_total=Money.of(row.discount_total, currency),
            tax_total=Money.of(row.tax_total, currency),
            total=Money.of(row.total, currency),
            requires_shipping=row.requires_shipping,
            weight_grams=row.weight_grams,
            removed_quantity=row.removed_quantity,
            fulfillable_quantity=row.fulfillable_quantity,
            shipped_quantity=row.shipped_quantity,
        )

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
        return await info.context.links.download(self.row.id)


async def _service(info: Info, service_id: UUID | None) -> FulfillmentService | None:
    return FulfillmentService.of(await info.context.loaders.services.load(service_id)) if service_id else None


@strawberry.type(description="A movement of money for an order, or a promise of one.")
class Transaction:
    id: strawberry.ID = field(description="An opaque id.")
    kind: enums.TransactionKind = field(description="What it does.")
    status: enums.TransactionStatus = field(description="What became of it.")
    amount: Money = field(description="How much.")
    gateway: str = field(description="Who moved the money; manual for money that is handled outside.")
    reference: str | None = field(description="The gateway's or the payer's reference.")
    failure: str | None = field(description="Why the gateway has refused it, in the gateway's words.")
    parent_id: strawberry.ID | None = field(
        description="The id of the authorization that this captures from or gives up, or the payment that it refunds."
    )
    processed_at: datetime = field(description="When it was carried out, or the gateway was first asked for it.")

    @classmethod
    def of(cls, row: models.Transaction, currency: str) -> Self:
        return cls(
            id=ids.encode("Transaction", row.id),
            kind=row.kind,
            status=row.status,
            amount=Money.of(row.amount, currency),
            gateway=row.gateway,
            reference=row.reference,
            failure=row.failure,
            parent_id=ids.encode("Transaction", row.parent_id) if row.parent_id else None,
            processed_at=row.processed_at,
        )


@strawberry.type(description="A carrier's number by which a parcel can be followed.")
class Tracking:
    id: strawberry.ID = field(description="An opaque id.")
    number: str = field(description="The tracking number.")
    carrier: str | None = field(description="The carrier's name.")
    url: str | None = field(description="Where the parcel can be followed.")
    fulfillment_id: strawberry.ID = field(description="The id of the fulfillment that it belongs to.")
    created_at: datetime = field(description="When it was added.")
    updated_at: datetime = field(description="When it was last corrected.")

    @classmethod
    def of(cls, row: models.Tracking) -> Self:
        return cls(
            id=ids.encode("Tracking", row.id),
            number=row.number,
            carrier=row.carrier,
            url=row.url,
            fulfillment_id=ids.encode("Fulfillment", row.fulfillment_id),
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


@strawberry.type(description="Units of one line in a fulfillment.")
class FulfillmentLine:
    quantity: int = field(description="How many units of the line.")
    line: OrderLine = field(description="The order's line.")


@strawberry.type(description="Units of an order that leave together, in one parcel or several.")
class Fulfillment(Node):
    row: Private[models.Fulfillment]
    state: enums.FulfillmentState = field(description="How far it has come.")
    request_status: enums.RequestStatus | None = field(
        description="What the fulfillment service has answered; null where none was asked."
    )
    rejection: str | None = field(description="Why the fulfillment service does not ship it.")
    created_at: datetime = field(description="When it was opened.")
    shipped_at: datetime | None = field(description="When it left.")

    @classmethod
    def of(cls, row: models.Fulfillment) -> Self:
        return cls(
            id=ids.encode("Fulfillment", row.id),
            row=row,
            state=row.state,
            request_status=row.request_status,
            rejection=row.rejection,
            created_at=row.created_at,
            shipped_at=row.shipped_at,
        )

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
    row: Private[models.DeliveryNote]
    number: str = field(description="Its number, such as LS-2026-000042.")
    created_at: datetime = field(description="When it was created.")
    locale: str = field(description="The language it is written in (BCP 47), such as de-CH.")

    @classmethod
    def of(cls, row: models.DeliveryNote) -> Self:
        return cls(
            id=ids.encode("DeliveryNote", row.id),
            row=row,
            number=row.number,
            created_at=row.created_at,
            locale=row.locale,
        )

    @field(description="Where its PDF is: a link that needs no token and expires. Read it anew when it has.")
    async def url(self, info: Info) -> str:
        return await info.context.links.delivery_note(self.row.id)

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


@strawberry.type(description="Something that can be done with the order now, or why it cannot.")
class AvailableAction:
    action: enums.OrderAction = field(description="What would be done.")
    available: bool = field(description="Whether it can be done now.")
    reason: str | None = field(description="Why it cannot.")
