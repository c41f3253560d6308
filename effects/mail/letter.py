"""The contents of an e-mail before they are put into words. Nothing else needs to be looked up."""

import datetime
from dataclasses import dataclass

from models.enums import CancelReason, EmailKind


@dataclass(frozen=True, slots=True)
class Item:
    """Units of a line. Amounts are in minor units of the letter's currency; the discount is subtracted from `total`."""

    title: str
    variant_title: str | None
    sku: str | None
    quantity: int
    unit_price: int
    discount: int
    total: int


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of an order, in minor units. `discount` is the one on the whole order. `total` always includes `tax`."""

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
    """An e-mail about an order. Days are in the merchant's time zone.

    `order_number` is the number that the customer knows, `own_number` is ours. `channel` is the channel's name for
    people, `channel_code` its code. `locale` is one of `domain.locales`. `in_parts` is set if the parcel does not
    complete the order. `amount` is how much was refunded, in minor units. `reason` is why the order was cancelled.
    `request` is the id of the fulfillment that a service is asked for.
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
