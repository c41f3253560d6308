"""What callers send, and its translation into the domain's words."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import strawberry

from api import enums, ids
from domain.actors import Actor
from domain.change import Idempotency, Target
from domain.errors import InvalidInput
from domain.event_log import EventFilter, channel_ids
from domain.fulfillments.commands import KEEP, Keep, TrackingInfo
from domain.fulfillments.packing import LineQuantity
from domain.orders import filters, placing
from domain.payments.commands import Amount
from domain.payments.ledger import MANUAL
from domain.validation import required_text

field = strawberry.field
Value = TypeVar("Value")
MOST_VALUES = 200


def _optional(description: str) -> Any:
    return field(default=None, description=description)


def idempotency_of(given: Any) -> Idempotency | None:
    """The input's key, if it has one, with a fingerprint of all the rest of it."""
    if given.idempotency_key is None:
        return None
    key = required_text(given.idempotency_key, "idempotency_key", longest=255)
    content = {**strawberry.asdict(given), "idempotency_key": None, "": type(given).__name__}
    text = json.dumps(content, default=str, sort_keys=True)
    return Idempotency(key, hashlib.sha256(text.encode()).hexdigest())


def target_of(given: Any) -> Target:
    """The order that an input is about. Raises `InvalidInput`."""
    order_id = ids.decode("Order", given.order_id, "order_id")
    return Target(order_id, given.expected_version, idempotency_of(given))


_ORDER_ID = "The order."
_EXPECTED_VERSION = "The version that the caller has seen; VERSION_CONFLICT if the order has changed since."
_IDEMPOTENCY_KEY = (
    "The caller's own key for this act: the same key with the same input acts once, however often it is sent."
)


@strawberry.input(description="An amount of money.")
class MoneyInput:
    amount: Decimal = field(description="The amount, as a string so that no cent is lost.")
    currency_code: str | None = _optional("The currency's code (ISO 4217); must be the order's.")


def to_amount(given: MoneyInput | None) -> Amount | None:
    return Amount(given.amount, given.currency_code) if given else None


@strawberry.input(description="Some units of a line.")
class LineQuantityInput:
    line_id: strawberry.ID = field(description="The order's line.")
    quantity: int = field(description="How many units: at least 1.")


def line_quantities(lines: Sequence[LineQuantityInput] | None) -> list[LineQuantity] | None:
    if lines is None:
        return None
    return [
        LineQuantity(ids.decode("OrderLine", line.line_id, "lines", index, "line_id"), line.quantity)
        for index, line in enumerate(lines)
    ]


def fulfillment_key(given: Any) -> Any:
    if given.fulfillment_id is None:
        return None
    return ids.decode("Fulfillment", given.fulfillment_id, "fulfillment_id")


@strawberry.input(description="A tracking number.")
class TrackingInput:
    number: str = field(description="The tracking number.")
    carrier: str | None = _optional("The carrier's name.")
    url: str | None = _optional("Where the parcel can be followed: an http or https address.")


@strawberry.input(description="Accept an order.")
class ConfirmOrderInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Cancel an order that has not shipped.")
class CancelOrderInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    reason: enums.CancelReason = field(description="Why.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Make an order ready to ship.")
class MarkReadyToShipInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    lines: list[LineQuantityInput] | None = _optional("What to pack; by default all that no fulfillment holds yet.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Say that an order, or a part of it, has left.")
class MarkShippedInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    lines: list[LineQuantityInput] | None = _optional(
        "What has left; by default what is in the open fulfillments, or all that is due where none is open."
    )
    fulfillment_id: strawberry.ID | None = _optional("The fulfillment that has left; by default every open one.")
    tracking: list[TrackingInput] | None = _optional("Tracking numbers to add to what leaves.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)

    def tracking_infos(self) -> list[TrackingInfo]:
        return [
            TrackingInfo(each.number, each.carrier, each.url, field=("tracking", str(index)))
            for index, each in enumerate(self.tracking or ())
        ]


@strawberry.input(description="Add a tracking number.")
class AddTrackingInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    number: str = field(description="The tracking number.")
    carrier: str | None = _optional("The carrier's name.")
    url: str | None = _optional("Where the parcel can be followed: an http or https address.")
    fulfillment_id: strawberry.ID | None = _optional(
        "The fulfillment that it belongs to; by default the open one, or the only one. One is opened where none is."
    )
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Correct a tracking number. What is left out stays; null takes the carrier or link away.")
class UpdateTrackingInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    tracking_id: strawberry.ID = field(description="The tracking number to correct.")
    number: str | None = field(default=strawberry.UNSET, description="The right number.")
    carrier: str | None = field(default=strawberry.UNSET, description="The right carrier.")
    url: str | None = field(default=strawberry.UNSET, description="The right link.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)

    def kept_number(self) -> str | Keep:
        if self.number is None:
            raise InvalidInput("A tracking number cannot be empty; use removeTracking.", "number")
        return KEEP if self.number is strawberry.UNSET else self.number


def or_keep(value: str | None) -> str | Keep | None:
    return KEEP if value is strawberry.UNSET else value


@strawberry.input(description="Take a tracking number away.")
class RemoveTrackingInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    tracking_id: strawberry.ID = field(description="The tracking number to take away.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Put an order away.")
class ArchiveOrderInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Take an order out of the archive.")
class UnarchiveOrderInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Write a note below the order's.")
class AddOrderNoteInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    note: str = field(description="The text, at most 5,000 characters.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Take what is outstanding, or part of it.")
class CapturePaymentInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    amount: MoneyInput | None = _optional("How much; by default what is left.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Write down money that arrived outside a gateway.")
class RecordPaymentInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    amount: MoneyInput | None = _optional("How much; by default what is outstanding.")
    reference: str | None = _optional("The payer's or the bank's reference.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="Write down money that was given back.")
class RefundPaymentInput:
    order_id: strawberry.ID = field(description=_ORDER_ID)
    amount: MoneyInput | None = _optional("How much; by default all that was paid and not given back yet.")
    reference: str | None = _optional("A reference for it.")
    expected_version: int | None = _optional(_EXPECTED_VERSION)
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)


@strawberry.input(description="A position of a new order. Amounts are in the order's currency.")
class PlaceOrderLineInput:
    title: str = field(description="What was bought.")
    quantity: int = field(description="Units: at least 1.")
    unit_price: Decimal = field(description="The price of one unit before discounts.")
    sku: str | None = _optional("Stock-keeping unit.")
    variant_title: str | None = _optional("Which variant of it.")
    discount: Decimal | None = _optional("The discount on all units of the line.")
    tax: Decimal | None = _optional("The tax on all units of the line.")
    requires_shipping: bool = field(default=True, description="Whether it has to be sent.")


@strawberry.input(description="A postal address.")
class AddressInput:
    name: str | None = _optional("The person's name.")
    company: str | None = _optional("The company's name.")
    address1: str | None = _optional("Street and number.")
    address2: str | None = _optional("What else the address needs.")
    postal_code: str | None = _optional("Postal code.")
    city: str | None = _optional("Town.")
    province: str | None = _optional("State, canton or province.")
    country_code: str | None = _optional("The country's code (ISO 3166-1 alpha-2).")
    phone: str | None = _optional("Telephone number for the delivery.")

    def to_domain(self) -> placing.NewAddress:
        return placing.NewAddress(**vars(self))


@strawberry.input(description="Who bought. Within a channel, one e-mail address is one customer.")
class CustomerInput:
    email: str | None = _optional("E-mail address.")
    name: str | None = _optional("Full name.")
    phone: str | None = _optional("Telephone number.")

    def to_domain(self) -> placing.NewCustomer:
        return placing.NewCustomer(**vars(self))


@strawberry.input(description="A payment that the shop has taken, or only had authorized, before it sent the order.")
class PaymentInput:
    kind: enums.TransactionKind = field(description="SALE for money that was taken, AUTHORIZATION for a promise.")
    amount: Decimal = field(description="How much, in the order's currency.")
    gateway: str | None = _optional("Who holds the money; by default manual, which capturePayment can capture.")
    reference: str | None = _optional("The gateway's reference.")
    processed_at: datetime | None = _optional("When it was taken; by default now.")

    def to_domain(self) -> placing.NewPayment:
        return placing.NewPayment(
            kind=self.kind,
            amount=self.amount,
            gateway=MANUAL if self.gateway is None else self.gateway,
            reference=self.reference,
            processed_at=self.processed_at,
        )


@strawberry.input(description="The shop's own sums, which are then taken over instead of worked out from the lines.")
class OrderTotalsInput:
    subtotal: Decimal = field(description="What the lines cost after all discounts.")
    total: Decimal = field(description="What the customer pays.")
    discount_total: Decimal | None = _optional("All discounts.")
    shipping_total: Decimal | None = _optional("What the shipping costs.")
    tax_total: Decimal | None = _optional("All taxes.")

    def to_domain(self) -> placing.NewTotals:
        return placing.NewTotals(
            subtotal=self.subtotal,
            total=self.total,
            discount_total=self.discount_total or Decimal(0),
            shipping_total=self.shipping_total or Decimal(0),
            tax_total=self.tax_total or Decimal(0),
        )


@strawberry.input(
    description="A new order, as its shop knows it. Amounts are in its currency. Without totals, they are worked out:"
    " subtotal = lines − discounts; total = subtotal + shipping + taxes, unless taxesIncluded."
)
class PlaceOrderInput:
    channel: str = field(
        description="The channel's code. A token that is not bound to channels opens a new one by its first order."
    )
    currency: str = field(description="The currency's code (ISO 4217) of all amounts.")
    lines: list[PlaceOrderLineInput] = field(description="What was bought: at least one line, at most 1,000.")
    source: enums.OrderSource = field(default=enums.OrderSource.ONLINE, description="What kind of place it is from.")
    external_reference: str | None = _optional(
        "The channel's own key: a second order with the same one is refused with DUPLICATE_REFERENCE."
    )
    external_number: str | None = _optional("The number that the channel shows to its customer, such as #1001.")
    customer: CustomerInput | None = _optional("Who bought.")
    shipping_address: AddressInput | None = _optional("Where it goes.")
    billing_address: AddressInput | None = _optional("Who is billed.")
    order_discount: Decimal | None = _optional("A discount on the whole order, besides those of the lines.")
    shipping_price: Decimal | None = _optional("What the shipping costs.")
    taxes_included: bool = field(default=False, description="Whether the prices contain the taxes.")
    totals: OrderTotalsInput | None = _optional("The shop's own sums.")
    payments: list[PaymentInput] | None = _optional("Payments taken or authorized already; at most 100.")
    placed_at: datetime | None = _optional("When it was placed; by default now.")
    locale: str | None = _optional("The customer's language (BCP 47), such as de-CH.")
    note: str | None = _optional("What the customer wrote, at most 5,000 characters.")
    tags: list[str] | None = _optional("Words by which it can be found; at most 100.")
    idempotency_key: str | None = _optional(_IDEMPOTENCY_KEY)

    def to_domain(self) -> placing.NewOrder:
        return placing.NewOrder(
            channel=self.channel,
            source=self.source,
            currency=self.currency,
            lines=[_new_line(line) for line in self.lines],
            external_reference=self.external_reference,
            external_number=self.external_number,
            customer=self.customer.to_domain() if self.customer else None,
            shipping_address=self.shipping_address.to_domain() if self.shipping_address else None,
            billing_address=self.billing_address.to_domain() if self.billing_address else None,
            order_discount=self.order_discount or Decimal(0),
            shipping_price=self.shipping_price or Decimal(0),
            taxes_included=self.taxes_included,
            totals=self.totals.to_domain() if self.totals else None,
            payments=[payment.to_domain() for payment in self.payments or ()],
            placed_at=self.placed_at,
            locale=self.locale,
            note=self.note,
            tags=self.tags or (),
        )


def _new_line(line: PlaceOrderLineInput) -> placing.NewLine:
    return placing.NewLine(
        title=line.title,
        quantity=line.quantity,
        unit_price=line.unit_price,
        sku=line.sku,
        variant_title=line.variant_title,
        discount=line.discount or Decimal(0),
        tax=line.tax or Decimal(0),
        requires_shipping=line.requires_shipping,
    )


@strawberry.input(description="Which orders: all that is given must hold.")
class OrderFilter:
    status: list[enums.OrderStatus] | None = _optional("One of these statuses.")
    payment_status: list[enums.PaymentStatus] | None = _optional("One of these payment statuses.")
    fulfillment_status: list[enums.FulfillmentStatus] | None = _optional("One of these fulfillment statuses.")
    source: list[enums.OrderSource] | None = _optional("From one of these kinds of places.")
    channels: list[str] | None = _optional("Of one of the channels with these codes.")
    archived: bool | None = _optional("Only those in the archive, or only the others; by default both.")
    placed_from: datetime | None = _optional("Placed at this time or later.")
    placed_to: datetime | None = _optional("Placed at this time or earlier.")
    total_from: Decimal | None = _optional("With a total of this amount or more, in the order's currency.")
    total_to: Decimal | None = _optional("With a total of this amount or less, in the order's currency.")
    currency: str | None = _optional("In this currency (ISO 4217).")
    tags: list[str] | None = _optional("With one of these tags.")
    and_: list["OrderFilter"] | None = field(
        name="and", default=None, description="Those that all of these mean. Filters may be nested 5 deep."
    )
    or_: list["OrderFilter"] | None = field(name="or", default=None, description="Those that any of these means.")
    not_: "OrderFilter | None" = field(name="not", default=None, description="Those that this does not mean.")

    def to_domain(self) -> filters.OrderFilter:
        return filters.OrderFilter(
            status=self.status,
            payment_status=self.payment_status,
            fulfillment_status=self.fulfillment_status,
            source=self.source,
            channels=self.channels,
            archived=self.archived,
            placed_from=self.placed_from,
            placed_to=self.placed_to,
            total_from=self.total_from,
            total_to=self.total_to,
            currency=self.currency,
            tags=self.tags,
            all_of=None if self.and_ is None else [each.to_domain() for each in self.and_],
            any_of=None if self.or_ is None else [each.to_domain() for each in self.or_],
            none_of=None if self.not_ is None else self.not_.to_domain(),
        )


@strawberry.input(description="How a list of orders is sorted.")
class OrderSort:
    field: enums.OrderSortField = strawberry.field(
        default=enums.OrderSortField.PLACED_AT, description="What it is sorted by."
    )
    direction: enums.SortDirection = strawberry.field(
        default=enums.SortDirection.DESC, description="Which end comes first."
    )


@strawberry.input(description="Which events: all that is given must hold.")
class OrderEventFilter:
    order_ids: list[strawberry.ID] | None = _optional("Of one of these orders; at most 200.")
    channels: list[str] | None = _optional("Of one of the channels with these codes.")
    types: list[enums.OrderEventType] | None = _optional("Of one of these types.")
    to_status: list[enums.OrderStatus] | None = _optional("Those that brought an order to one of these statuses.")


async def event_filter(
    actor: Actor, given: OrderEventFilter | None, *, status_changes_only: bool = False
) -> EventFilter:
    """The events that the filter means among those of the actor's channels. Raises `InvalidInput`."""
    given = given or OrderEventFilter()
    for name in ("order_ids", "channels"):
        if len(getattr(given, name) or ()) > MOST_VALUES:
            raise InvalidInput(f"At most {MOST_VALUES} can be named.", "filter", name)
    return EventFilter(
        visible_channel_ids=actor.channel_ids,
        order_ids=None
        if given.order_ids is None
        else frozenset(
            ids.decode("Order", each, "filter", "order_ids", index) for index, each in enumerate(given.order_ids)
        ),
        channel_ids=await channel_ids(actor, given.channels),
        types=None if given.types is None else frozenset(given.types),
        to_status=None if given.to_status is None else frozenset(given.to_status),
        status_changes_only=status_changes_only,
    )
