"""What can happen to an order: each event has its fields, which are ids and values, never rows, and its sentence.

Its type, with the description, is a word of `OrderEventType`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, ClassVar, get_args, get_origin
from uuid import UUID

from domain.money import Money
from domain.naming import camel
from models.enums import AutomationKind, EmailKind, OrderEventType, TransactionKind

# An id says of which type it is: callers of the API know things by their global ids.
LineId = Annotated[UUID, "OrderLine"]
FulfillmentId = Annotated[UUID, "Fulfillment"]
DeliveryNoteId = Annotated[UUID, "DeliveryNote"]
TrackingId = Annotated[UUID, "Tracking"]
EffectId = Annotated[UUID, "Effect"]
TransactionId = Annotated[UUID, "Transaction"]

_happenings: dict[str, type["Happening"]] = {}


@dataclass(frozen=True, slots=True)
class Happening:
    """An event. Each field is part of its data.

    If it `is_aside`, it only says what the server did by itself: it makes no screen out of date.
    """

    type: ClassVar[OrderEventType]
    is_aside: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        _happenings[cls.__qualname__] = cls  # `dataclass` makes a second class, with slots, which replaces the first

    def message(self) -> str:
        """Return what happened, in a sentence."""
        raise NotImplementedError

    def data(self) -> dict[str, Any]:
        """Return the fields as JSON has them, named as in GraphQL. Ids are the rows' keys."""
        return {camel(field.name): _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Money):
        return value.as_data()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Units | PlacedLine):
        return {camel(field.name): _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Units:
    """Some units of one line."""

    line_id: LineId
    quantity: int


@dataclass(frozen=True, slots=True)
class PlacedLine:
    line_id: LineId
    sku: str | None
    title: str
    quantity: int
    removed_quantity: int
    total: Money


def _count(lines: Sequence[Units] | Sequence[PlacedLine]) -> str:
    units = sum(line.quantity for line in lines)
    return "1 unit" if units == 1 else f"{units} units"


@dataclass(frozen=True, slots=True)
class OrderPlaced(Happening):
    type = OrderEventType.ORDER_PLACED
    number: str
    channel: str
    source: str
    external_reference: str | None
    placed_at: datetime
    lines: tuple[PlacedLine, ...]
    subtotal: Money
    discount_total: Money
    shipping_total: Money
    tax_total: Money
    total: Money

    def message(self) -> str:
        return f"Order {self.number} was placed in {self.channel}: {_count(self.lines)}, {self.total}."


@dataclass(frozen=True, slots=True)
class OrderConfirmed(Happening):
    type = OrderEventType.ORDER_CONFIRMED

    def message(self) -> str:
        return "The order was confirmed."


@dataclass(frozen=True, slots=True)
class OrderCancelled(Happening):
    type = OrderEventType.ORDER_CANCELLED
    reason: str

    def message(self) -> str:
        return f"The order was cancelled ({self.reason})."


@dataclass(frozen=True, slots=True)
class OrderReadyToShip(Happening):
    type = OrderEventType.ORDER_READY_TO_SHIP
    fulfillment_id: FulfillmentId | None
    lines: tuple[Units, ...]

    def message(self) -> str:
        return f"The order is ready to ship: {_count(self.lines)}."


@dataclass(frozen=True, slots=True)
class FulfillmentOpened(Happening):
    """A fulfillment was opened without a change of the order's status."""

    type = OrderEventType.FULFILLMENT_OPENED
    fulfillment_id: FulfillmentId
    lines: tuple[Units, ...]

    def message(self) -> str:
        return f"A fulfillment of {_count(self.lines)} was opened."


@dataclass(frozen=True, slots=True)
class FulfillmentShipped(Happening):
    """Some units have left, and others are still to come."""

    type = OrderEventType.FULFILLMENT_SHIPPED
    fulfillment_id: FulfillmentId
    lines: tuple[Units, ...]

    def message(self) -> str:
        return f"A part of the order was shipped: {_count(self.lines)}."


@dataclass(frozen=True, slots=True)
class OrderShipped(Happening):
    """The last units have left."""

    type = OrderEventType.ORDER_SHIPPED
    fulfillment_id: FulfillmentId
    lines: tuple[Units, ...]

    def message(self) -> str:
        return f"The order was shipped: {_count(self.lines)}."


@dataclass(frozen=True, slots=True)
class DeliveryNoteCreated(Happening):
    type = OrderEventType.DELIVERY_NOTE_CREATED
    delivery_note_id: DeliveryNoteId
    fulfillment_id: FulfillmentId
    number: str
    replaces_id: DeliveryNoteId | None
    replaces_number: str | None

    def message(self) -> str:
        created = f"Delivery note {self.number} was created"
        return f"{created} in place of {self.replaces_number}." if self.replaces_number else f"{created}."


@dataclass(frozen=True, slots=True)
class TrackingAdded(Happening):
    type = OrderEventType.TRACKING_ADDED
    tracking_id: TrackingId
    fulfillment_id: FulfillmentId
    number: str
    carrier: str | None
    url: str | None

    def message(self) -> str:
        return f"Tracking number {self.number} was added."


@dataclass(frozen=True, slots=True)
class TrackingUpdated(Happening):
    type = OrderEventType.TRACKING_UPDATED
    tracking_id: TrackingId
    fulfillment_id: FulfillmentId
    previous_number: str
    number: str
    carrier: str | None
    url: str | None

    def message(self) -> str:
        if self.number == self.previous_number:
            return f"Tracking number {self.number} was corrected."
        return f"Tracking number {self.previous_number} was changed to {self.number}."


@dataclass(frozen=True, slots=True)
class TrackingRemoved(Happening):
    type = OrderEventType.TRACKING_REMOVED
    tracking_id: TrackingId
    fulfillment_id: FulfillmentId
    number: str

    def message(self) -> str:
        return f"Tracking number {self.number} was removed."


@dataclass(frozen=True, slots=True)
class _FulfillmentRequest(Happening):
    fulfillment_id: FulfillmentId
    service: str


@dataclass(frozen=True, slots=True)
class FulfillmentRequested(_FulfillmentRequest):
    """A fulfillment was opened, and a service is asked to ship it."""

    type = OrderEventType.FULFILLMENT_REQUESTED
    lines: tuple[Units, ...]

    def message(self) -> str:
        return f"{self.service} is asked to ship {_count(self.lines)}."


@dataclass(frozen=True, slots=True)
class FulfillmentAccepted(_FulfillmentRequest):
    type = OrderEventType.FULFILLMENT_ACCEPTED

    def message(self) -> str:
        return f"{self.service} has accepted to ship."


@dataclass(frozen=True, slots=True)
class FulfillmentRejected(_FulfillmentRequest):
    """The service does not ship it; its units are free again."""

    type = OrderEventType.FULFILLMENT_REJECTED
    reason: str

    def message(self) -> str:
        return f"{self.service} does not ship: {self.reason}"


@dataclass(frozen=True, slots=True)
class OrderHeld(Happening):
    type = OrderEventType.ORDER_HELD
    reason: str

    def message(self) -> str:
        return f"The order was put on hold: {self.reason}"


@dataclass(frozen=True, slots=True)
class OrderReleased(Happening):
    type = OrderEventType.ORDER_RELEASED

    def message(self) -> str:
        return "The order is no longer on hold."


@dataclass(frozen=True, slots=True)
class AutomationRefused(Happening):
    """A rule did not allow what an automation was to do."""

    type = OrderEventType.AUTOMATION_REFUSED
    is_aside = True
    automation: AutomationKind
    code: str
    reason: str

    def message(self) -> str:
        return f"{self.automation} was refused: {self.reason}"


@dataclass(frozen=True, slots=True)
class EmailSent(Happening):
    type = OrderEventType.EMAIL_SENT
    is_aside = True
    effect_id: EffectId
    email: EmailKind
    address: str
    written_to_file: bool  # there is no mail server: nobody has got it

    def message(self) -> str:
        if self.written_to_file:
            return f"{self.email} to {self.address} was written to a file, not sent: there is no mail server."
        return f"{self.email} was sent to {self.address}."


@dataclass(frozen=True, slots=True)
class EmailFailed(Happening):
    type = OrderEventType.EMAIL_FAILED
    is_aside = True
    effect_id: EffectId
    email: EmailKind
    address: str
    reason: str

    def message(self) -> str:
        return f"{self.email} could not be sent to {self.address}: {self.reason}"


@dataclass(frozen=True, slots=True)
class OrderArchived(Happening):
    type = OrderEventType.ORDER_ARCHIVED

    def message(self) -> str:
        return "The order was archived."


@dataclass(frozen=True, slots=True)
class OrderUnarchived(Happening):
    type = OrderEventType.ORDER_UNARCHIVED

    def message(self) -> str:
        return "The order was taken out of the archive."


@dataclass(frozen=True, slots=True)
class NoteAdded(Happening):
    type = OrderEventType.NOTE_ADDED
    note: str

    def message(self) -> str:
        return "A note was added."


@dataclass(frozen=True, slots=True)
class _Payment(Happening):
    transaction_id: TransactionId
    amount: Money
    gateway: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class PaymentAuthorized(_Payment):
    type = OrderEventType.PAYMENT_AUTHORIZED

    def message(self) -> str:
        return f"A payment of {self.amount} was authorized."


@dataclass(frozen=True, slots=True)
class PaymentCaptured(_Payment):
    type = OrderEventType.PAYMENT_CAPTURED

    def message(self) -> str:
        return f"A payment of {self.amount} was captured."


@dataclass(frozen=True, slots=True)
class PaymentRecorded(_Payment):
    type = OrderEventType.PAYMENT_RECORDED

    def message(self) -> str:
        return f"A payment of {self.amount} was recorded."


@dataclass(frozen=True, slots=True)
class PaymentRefunded(_Payment):
    type = OrderEventType.PAYMENT_REFUNDED

    def message(self) -> str:
        return f"{self.amount} were refunded."


@dataclass(frozen=True, slots=True)
class PaymentVoided(_Payment):
    type = OrderEventType.PAYMENT_VOIDED

    def message(self) -> str:
        return f"The authorization of {self.amount} was voided."


@dataclass(frozen=True, slots=True)
class PaymentPending(_Payment):
    """A gateway is asked to move money. What becomes of it is another event."""

    type = OrderEventType.PAYMENT_PENDING
    kind: TransactionKind

    def message(self) -> str:
        return f"{self.gateway} is asked for a {self.kind} of {self.amount}."


@dataclass(frozen=True, slots=True)
class PaymentFailed(_Payment):
    """The gateway has not moved the money."""

    type = OrderEventType.PAYMENT_FAILED
    kind: TransactionKind
    reason: str

    def message(self) -> str:
        return f"A {self.kind} of {self.amount} has failed at {self.gateway}: {self.reason}"


def asides() -> frozenset[OrderEventType]:
    """Return the types of the events that are asides."""
    return frozenset(each.type for each in _happenings.values() if each.is_aside)


def id_types() -> dict[str, str]:
    """Return the type of each id in the data of events, by the id's name there. Events must agree on it."""
    found: dict[str, str] = {}
    for holder in (*_happenings.values(), Units, PlacedLine):
        for name, annotation in holder.__annotations__.items():
            for type_ in (annotation, *get_args(annotation)):  # an id, or one that may be missing
                if get_origin(type_) is Annotated:
                    known = found.setdefault(camel(name), type_.__metadata__[0])
                    assert known == type_.__metadata__[0], f"{holder.__name__}.{name} is not the id of a {known}"
    return found
