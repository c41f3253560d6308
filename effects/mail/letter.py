"""What an e-mail says, before it is put into words: all of it, and nothing that must be looked up elsewhere."""

import datetime
from dataclasses import dataclass

from models.enums import CancelReason, EmailKind


@dataclass(frozen=True, slots=True)
class Item:
    """Units of a line. Amounts are in minor units of the letter's currency, `total` is less the `discount`."""

    title: str
    variant_title: str | None
    sku: str | None
    quantity: int
    unit_price: int
    discount: int
    total: int


@dataclass(frozen=True, slots=True)
class Sums:
    """An order's, in minor units. `discount` is the one on the whole order; `tax` is within `total` in any case."""

    discount: int
    subtotal: int
    shipping: int
    tax: int
    taxes_included: bool
    total: int
    paid: int
    outstanding: int


@dataclass(frozen=True, slots=True)
class Payment:
    gateway: str
    amount: int


@dataclass(frozen=True, slots=True)
class Parcel:
    number: str
    carrier: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Download:
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Person:
    name: str | None
    email: str | None
    phone: str | None


@dataclass(frozen=True, slots=True)
class Letter:
    """`order_number` is the one that the customer knows, `own_number` ours. Days are those of the merchant's time zone.

    `channel` is the channel's name for people, `channel_code` the one by which the settings know it; `locale` is one of
    `domain.locales`. `in_parts`: what is shipped is not all of the order. `amount` is what a refund is of, in minor
    units; `reason` why an order was cancelled; `request` the id of the fulfillment that a service is asked for.
    """

    kind: EmailKind
    locale: str
    date: datetime.date
    order_number: str
    own_number: str
    order_date: datetime.date
    channel: str
    channel_code: str
    customer: Person
    currency: str
    sums: Sums
    items: tuple[Item, ...] = ()
    needs_shipping: bool = True
    in_parts: bool = False
    payments: tuple[Payment, ...] = ()
    parcels: tuple[Parcel, ...] = ()
    downloads: tuple[Download, ...] = ()
    shipping_address: tuple[str, ...] = ()
    billing_address: tuple[str, ...] = ()
    amount: int | None = None
    reason: CancelReason | None = None
    note: str | None = None
    request: str | None = None
