"""What callers send to change an order, and its translation into the domain's words."""

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import strawberry

from api.schema import enums, ids
from domain.change import Idempotency, Target
from domain.errors import InvalidInput
from domain.fulfillments.commands import KEEP, Keep, TrackingInfo
from domain.fulfillments.packing import LineQuantity
from domain.payments.commands import Amount
from domain.validation import required_text

field = strawberry.field


def optional(description: str) -> Any:
    """A field that may be left out, or be null."""
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


ORDER_ID = "The order."
EXPECTED_VERSION = "The version that the caller has seen; VERSION_CONFLICT if the order has changed since."
IDEMPOTENCY_KEY = (
    "The caller's own key for this act: the same key with the same input acts once, however often it is sent."
)

LOCALE = "The language: de-CH, de-DE, fr-CH, it-CH or en. By default the one that suits the order's locale."


@strawberry.input(description="An amount of money.")
class MoneyInput:
    amount: Decimal = field(description="The amount, as a string so that no cent is lost.")
    currency_code: str | None = optional("The currency's code (ISO 4217); must be the order's.")


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


def optional_key(type_name: str, global_id: str | None, *field: str | int) -> UUID | None:
    """The key of an id that may be left out. Raises `InvalidInput`."""
    return None if global_id is None else ids.decode(type_name, global_id, *field)


@strawberry.input(description="A tracking number.")
class TrackingInput:
    number: str = field(description="The tracking number.")
    carrier: str | None = optional("The carrier's name.")
    url: str | None = optional("Where the parcel can be followed: an http or https address.")


@strawberry.input(description="Accept an order.")
class ConfirmOrderInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Cancel an order that has not shipped.")
class CancelOrderInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    reason: enums.CancelReason = field(description="Why.")
    refund: bool | None = optional("Whether what was paid is given back, the way it came; needs payments:write, too.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Make an order ready to ship.")
class MarkReadyToShipInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    lines: list[LineQuantityInput] | None = optional("What to pack; by default all that no fulfillment holds yet.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Say that an order, or a part of it, has left.")
class MarkShippedInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    lines: list[LineQuantityInput] | None = optional(
        "What has left; by default what is in the open fulfillments, or all that is due where none is open."
    )
    fulfillment_id: strawberry.ID | None = optional("The fulfillment that has left; by default every open one.")
    tracking: list[TrackingInput] | None = optional("Tracking numbers to add to what leaves.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)

    def tracking_infos(self) -> list[TrackingInfo]:
        return [
            TrackingInfo(each.number, each.carrier, each.url, field=("tracking", str(index)))
            for index, each in enumerate(self.tracking or ())
        ]


@strawberry.input(description="Give a fulfillment its delivery note.")
class CreateDeliveryNoteInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    fulfillment_id: strawberry.ID | None = optional(
        "What the note is for; by default the open fulfillment, or the only one. One is opened for all that is left"
        " where none is open."
    )
    replaces: strawberry.ID | None = optional(
        "A delivery note to be corrected: a new one is created in its place, from the order as it is now."
    )
    locale: str | None = optional(LOCALE)
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Give many fulfillments their delivery notes, and print them all.")
class CreateDeliveryNotesInput:
    fulfillment_ids: list[strawberry.ID] = field(
        description="The fulfillments, also of several orders: 1 to 100. One that has a note keeps it."
    )
    locale: str | None = optional(LOCALE)

    def keys(self) -> list[UUID]:
        return [
            ids.decode("Fulfillment", each, "fulfillment_ids", index) for index, each in enumerate(self.fulfillment_ids)
        ]


@strawberry.input(description="Add a tracking number.")
class AddTrackingInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    number: str = field(description="The tracking number.")
    carrier: str | None = optional("The carrier's name.")
    url: str | None = optional("Where the parcel can be followed: an http or https address.")
    fulfillment_id: strawberry.ID | None = optional(
        "The fulfillment that it belongs to; by default the open one, or the only one. One is opened where none is."
    )
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Correct a tracking number. What is left out stays; null takes the carrier or link away.")
class UpdateTrackingInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    tracking_id: strawberry.ID = field(description="The tracking number to correct.")
    number: str | None = field(default=strawberry.UNSET, description="The right number.")
    carrier: str | None = field(default=strawberry.UNSET, description="The right carrier.")
    url: str | None = field(default=strawberry.UNSET, description="The right link.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)

    def kept_number(self) -> str | Keep:
        if self.number is None:
            raise InvalidInput("A tracking number cannot be empty; use removeTracking.", "number")
        return KEEP if self.number is strawberry.UNSET else self.number


def or_keep(value: str | None) -> str | Keep | None:
    return KEEP if value is strawberry.UNSET else value


@strawberry.input(description="Take a tracking number away.")
class RemoveTrackingInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    tracking_id: strawberry.ID = field(description="The tracking number to take away.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Put an order away.")
class ArchiveOrderInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Take an order out of the archive.")
class UnarchiveOrderInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Write a note below the order's.")
class AddOrderNoteInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    note: str = field(description="The text, at most 5,000 characters.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Keep automations away from an order.")
class HoldOrderInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    reason: str = field(description="Why, in at most 1,000 characters.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Let automations have an order again.")
class ReleaseOrderInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Ask fulfillment services to ship.")
class RequestFulfillmentInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    service: str | None = optional("The code of the one that is asked; by default all that lines name.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Say that a requested fulfillment will be shipped.")
class AcceptFulfillmentInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    fulfillment_id: strawberry.ID = field(description="What was requested.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Say that a requested fulfillment will not be shipped.")
class RejectFulfillmentInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    fulfillment_id: strawberry.ID = field(description="What was requested.")
    reason: str = field(description="Why not, in at most 1,000 characters.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Take what is outstanding, or part of it.")
class CapturePaymentInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    amount: MoneyInput | None = optional("How much; by default what is left.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Write down money that arrived outside a gateway.")
class RecordPaymentInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    amount: MoneyInput | None = optional("How much; by default what is outstanding.")
    reference: str | None = optional("The payer's or the bank's reference.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Give money back the way it came, the newest payment first.")
class RefundPaymentInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    amount: MoneyInput | None = optional("How much; by default all that was paid and not given back yet.")
    reference: str | None = optional("A reference for what is given back by hand; a gateway has its own.")
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)


@strawberry.input(description="Give up what was authorized and is not captured.")
class VoidPaymentInput:
    order_id: strawberry.ID = field(description=ORDER_ID)
    expected_version: int | None = optional(EXPECTED_VERSION)
    idempotency_key: str | None = optional(IDEMPOTENCY_KEY)
