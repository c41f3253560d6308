"""The closed vocabularies of the tables; the GraphQL enums of the same names show these values."""

from enum import StrEnum
from typing import TypeVar

Word = TypeVar("Word", bound=StrEnum)


def stored_word(vocabulary: type[Word], text: str) -> Word:
    """Return the member that is stored as this text, or a stand-in if this version does not know it.

    Another version of the service may have written it. A stand-in is of the vocabulary's class, is equal to none of its
    members, and is written back as it was read.
    """
    try:
        return vocabulary(text)
    except ValueError:
        stand_in = str.__new__(vocabulary, text)
        stand_in._name_ = stand_in._value_ = text
        return stand_in


def is_known(word: StrEnum) -> bool:
    """Return whether the word is a member of its vocabulary, not a stand-in."""
    return word.name in type(word).__members__


class OrderStatus(StrEnum):
    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    READY_TO_SHIP = "READY_TO_SHIP"
    SHIPPED = "SHIPPED"
    CANCELLED = "CANCELLED"


class PaymentStatus(StrEnum):
    PENDING = "PENDING"
    AUTHORIZED = "AUTHORIZED"
    PARTIALLY_PAID = "PARTIALLY_PAID"
    PAID = "PAID"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"
    VOIDED = "VOIDED"


class FulfillmentStatus(StrEnum):
    UNFULFILLED = "UNFULFILLED"
    PARTIALLY_FULFILLED = "PARTIALLY_FULFILLED"
    FULFILLED = "FULFILLED"


class OrderSource(StrEnum):
    ONLINE = "ONLINE"
    POS = "POS"
    MARKETPLACE = "MARKETPLACE"
    MANUAL = "MANUAL"


class CancelReason(StrEnum):
    CUSTOMER = "CUSTOMER"
    INVENTORY = "INVENTORY"
    FRAUD = "FRAUD"
    DECLINED = "DECLINED"
    STAFF = "STAFF"
    OTHER = "OTHER"


class AddressKind(StrEnum):
    SHIPPING = "SHIPPING"
    BILLING = "BILLING"


class FulfillmentState(StrEnum):
    OPEN = "OPEN"
    SHIPPED = "SHIPPED"
    CANCELLED = "CANCELLED"


class TransactionKind(StrEnum):
    AUTHORIZATION = "AUTHORIZATION"
    CAPTURE = "CAPTURE"
    SALE = "SALE"
    REFUND = "REFUND"
    VOID = "VOID"


class TransactionStatus(StrEnum):
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class EffectKind(StrEnum):
    EMAIL = "EMAIL"
    AUTOMATION = "AUTOMATION"
    PAYMENT = "PAYMENT"
    FULFILLMENT_REQUEST = "FULFILLMENT_REQUEST"
    PLANNING = "PLANNING"


class EffectState(StrEnum):
    WAITING = "WAITING"
    DONE = "DONE"
    FAILED = "FAILED"


class EmailKind(StrEnum):
    ORDER_CONFIRMATION = "ORDER_CONFIRMATION"
    NEW_ORDER = "NEW_ORDER"
    POS_RECEIPT = "POS_RECEIPT"
    SHIPPING_CONFIRMATION = "SHIPPING_CONFIRMATION"
    DOWNLOADS = "DOWNLOADS"
    CANCELLATION = "CANCELLATION"
    REFUND = "REFUND"
    FULFILLMENT_REQUEST = "FULFILLMENT_REQUEST"


class AutomationKind(StrEnum):
    CONFIRM_ON_ARRIVAL = "CONFIRM_ON_ARRIVAL"
    CAPTURE_ON_ARRIVAL = "CAPTURE_ON_ARRIVAL"
    CAPTURE_ON_SHIPPING = "CAPTURE_ON_SHIPPING"
    FULFILL_ON_PAYMENT = "FULFILL_ON_PAYMENT"
    ARCHIVE_WHEN_DONE = "ARCHIVE_WHEN_DONE"


class RequestStatus(StrEnum):
    REQUESTED = "REQUESTED"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"


class ActorKind(StrEnum):
    TOKEN = "TOKEN"  # noqa: S105 - the word, not a secret
    PERSON = "PERSON"
    AUTOMATION = "AUTOMATION"
    CHANNEL = "CHANNEL"
    SYSTEM = "SYSTEM"


class OrderEventType(StrEnum):
    ORDER_PLACED = "ORDER_PLACED"
    ORDER_CONFIRMED = "ORDER_CONFIRMED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    ORDER_READY_TO_SHIP = "ORDER_READY_TO_SHIP"
    ORDER_SHIPPED = "ORDER_SHIPPED"
    ORDER_ARCHIVED = "ORDER_ARCHIVED"
    ORDER_UNARCHIVED = "ORDER_UNARCHIVED"
    FULFILLMENT_OPENED = "FULFILLMENT_OPENED"
    FULFILLMENT_SHIPPED = "FULFILLMENT_SHIPPED"
    DELIVERY_NOTE_CREATED = "DELIVERY_NOTE_CREATED"
    TRACKING_ADDED = "TRACKING_ADDED"
    TRACKING_UPDATED = "TRACKING_UPDATED"
    TRACKING_REMOVED = "TRACKING_REMOVED"
    NOTE_ADDED = "NOTE_ADDED"
    PAYMENT_AUTHORIZED = "PAYMENT_AUTHORIZED"
    PAYMENT_CAPTURED = "PAYMENT_CAPTURED"
    PAYMENT_RECORDED = "PAYMENT_RECORDED"
    PAYMENT_REFUNDED = "PAYMENT_REFUNDED"
    PAYMENT_VOIDED = "PAYMENT_VOIDED"
    PAYMENT_PENDING = "PAYMENT_PENDING"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    EMAIL_SENT = "EMAIL_SENT"
    EMAIL_FAILED = "EMAIL_FAILED"
    ORDER_HELD = "ORDER_HELD"
    ORDER_RELEASED = "ORDER_RELEASED"
    AUTOMATION_REFUSED = "AUTOMATION_REFUSED"
    FULFILLMENT_REQUESTED = "FULFILLMENT_REQUESTED"
    FULFILLMENT_ACCEPTED = "FULFILLMENT_ACCEPTED"
    FULFILLMENT_REJECTED = "FULFILLMENT_REJECTED"
