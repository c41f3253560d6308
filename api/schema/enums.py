"""The enums as partners read them: each value described."""

from enum import Enum

import strawberry
from strawberry.types.enum import EnumValue

from domain.actors import Scope
from domain.errors import ErrorCode
from domain.orders.actions import ActionRefusalCode, OrderAction
from domain.orders.queries import OrderSortField, SortDirection
from domain.tokens import TokenState
from models.enums import (
    ActorKind,
    AutomationKind,
    CancelReason,
    EffectKind,
    EffectState,
    EmailKind,
    FulfillmentState,
    FulfillmentStatus,
    OrderEventType,
    OrderSource,
    OrderStatus,
    PaymentStatus,
    RequestStatus,
    TransactionKind,
    TransactionStatus,
    stored_word,
)

__all__ = [
    "ActionRefusalCode",
    "ActorKind",
    "AutomationKind",
    "CancelReason",
    "EffectKind",
    "EffectState",
    "EmailKind",
    "ErrorCode",
    "FulfillmentState",
    "FulfillmentStatus",
    "OrderAction",
    "OrderEventType",
    "OrderSortField",
    "OrderSource",
    "OrderStatus",
    "PaymentStatus",
    "RequestStatus",
    "Scope",
    "SortDirection",
    "TokenState",
    "TransactionKind",
    "TransactionStatus",
]

UNKNOWN = "UNKNOWN"
_UNKNOWN_DESCRIPTION = (
    "One that this version of the server does not know: another version has written it. It is only ever answered; as"
    " input it is refused."
)
_MAY_GROW = " More values may be added: treat one that you do not know as unknown."


class _AnyOther:
    """What UNKNOWN stands for. Strawberry compares a word with each value in turn: this one is equal to what is left.

    As input it is no member of any vocabulary, and so refused.
    """

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(UNKNOWN)

    def __repr__(self) -> str:
        return UNKNOWN


def _describe(vocabulary: type[Enum], description: str, values: dict[str, str], name: str | None = None) -> None:
    strawberry.enum(vocabulary, description=description + _MAY_GROW, name=name)
    definition = vocabulary.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values[value.name]
    if vocabulary.__module__ == stored_word.__module__ or vocabulary is Scope:  # another version may have written it
        definition.values.append(EnumValue(UNKNOWN, _AnyOther(), description=_UNKNOWN_DESCRIPTION))


_describe(
    OrderStatus,
    "How far an order has come.",
    {
        "PENDING": "It has come in, and nobody has accepted it yet.",
        "CONFIRMED": "It was accepted.",
        "READY_TO_SHIP": "It is packed, or can be.",
        "SHIPPED": "Everything that is due has left.",
        "CANCELLED": "It will not be carried out.",
    },
)
_describe(
    PaymentStatus,
    "How an order stands with its payment. Derived from its transactions.",
    {
        "PENDING": "Nothing was paid or authorized.",
        "AUTHORIZED": "Money was authorized that can be captured.",
        "PARTIALLY_PAID": "Part of the total was paid.",
        "PAID": "The whole total was paid.",
        "PARTIALLY_REFUNDED": "Part of what was paid was given back.",
        "REFUNDED": "All that was paid was given back.",
        "VOIDED": "What was authorized was given up, and nothing was paid.",
    },
)
_describe(
    FulfillmentStatus,
    "How much of an order has left. Derived from its fulfillments.",
    {
        "UNFULFILLED": "Nothing has left.",
        "PARTIALLY_FULFILLED": "Some units have left.",
        "FULFILLED": "All units that are due have left.",
    },
)
_describe(
    FulfillmentState,
    "How far a fulfillment has come.",
    {
        "OPEN": "It is still in the house.",
        "SHIPPED": "It has left.",
        "CANCELLED": "It was given up, because the order was cancelled.",
    },
)
_describe(
    RequestStatus,
    "What a fulfillment service has answered.",
    {
        "REQUESTED": "Nothing yet.",
        "ACCEPTED": "It will ship.",
        "REJECTED": "It does not ship.",
    },
)
_describe(
    AutomationKind,
    "A rule that acts by itself, once it is turned on.",
    {
        "CONFIRM_ON_ARRIVAL": "An order that comes in is confirmed.",
        "CAPTURE_ON_ARRIVAL": "What was authorized is captured when the order comes in.",
        "CAPTURE_ON_SHIPPING": "What was authorized is captured once the order is SHIPPED.",
        "FULFILL_ON_PAYMENT": "Once a confirmed order is PAID, its digital lines are fulfilled, and its fulfillment"
        " services are asked to ship theirs.",
        "ARCHIVE_WHEN_DONE": "An order that is SHIPPED and paid in full is archived.",
    },
)
_describe(
    EffectKind,
    "What kind of thing happens because of an event.",
    {
        "EMAIL": "An e-mail is sent.",
        "AUTOMATION": "A rule acts by itself.",
        "PAYMENT": "A gateway is asked to move money.",
        "FULFILLMENT_REQUEST": "A fulfillment service is told what it is asked to ship.",
        "PLANNING": "What is to happen because of the event could not be worked out: retryEffect does so again.",
    },
)
_describe(
    EffectState,
    "How far an effect has come.",
    {
        "WAITING": "It is tried until it works.",
        "DONE": "It has happened.",
        "FAILED": "It was given up: a person must look at it.",
    },
)
_describe(
    EmailKind,
    "Which e-mail.",
    {
        "ORDER_CONFIRMATION": "To the customer: the order has come in.",
        "NEW_ORDER": "To the merchant: an order has come in.",
        "POS_RECEIPT": "To the customer: the receipt of a purchase at a point of sale.",
        "SHIPPING_CONFIRMATION": "To the customer: a parcel has left.",
        "DOWNLOADS": "To the customer: links to digital products.",
        "CANCELLATION": "To the customer: the order was cancelled.",
        "REFUND": "To the customer: money was given back.",
        "FULFILLMENT_REQUEST": "To a fulfillment service that has no URL: what it is asked to ship.",
    },
)
_describe(
    OrderSource,
    "What kind of place an order was placed in.",
    {
        "ONLINE": "A shop on the web.",
        "POS": "A point of sale: a till.",
        "MARKETPLACE": "A marketplace.",
        "MANUAL": "Staff, by hand.",
    },
)
_describe(
    CancelReason,
    "Why an order was cancelled.",
    {
        "CUSTOMER": "The customer asked for it.",
        "INVENTORY": "There was not enough in stock.",
        "FRAUD": "The order was fraudulent.",
        "DECLINED": "The payment was declined.",
        "STAFF": "Staff made a mistake.",
        "OTHER": "Anything else.",
    },
)
_describe(
    TransactionKind,
    "What a transaction does.",
    {
        "AUTHORIZATION": "Money is reserved, and can be captured.",
        "CAPTURE": "Money is taken, from an authorization or by hand.",
        "SALE": "Money was taken at once, or arrived outside a gateway.",
        "REFUND": "Money is given back.",
        "VOID": "An authorization is given up.",
    },
)
_describe(
    TransactionStatus,
    "What became of a transaction.",
    {
        "PENDING": "It is under way.",
        "SUCCEEDED": "It was carried out.",
        "FAILED": "It was refused; no money has moved.",
    },
)
_describe(
    ActorKind,
    "What kind of caller acted.",
    {
        "TOKEN": "A person, shop or partner with an API token.",
        "PERSON": "Somebody who has logged in at the OpenID Connect issuer.",
        "AUTOMATION": "A rule that acts by itself.",
        "CHANNEL": "A sales channel, such as an import of its orders.",
        "SYSTEM": "An operator's command.",
    },
)
_describe(
    OrderEventType,
    "What happened to an order.",
    {
        "ORDER_PLACED": "The order came in.",
        "ORDER_CONFIRMED": "The order was accepted.",
        "ORDER_CANCELLED": "The order was cancelled.",
        "ORDER_READY_TO_SHIP": "The order is ready to ship.",
        "ORDER_SHIPPED": "The last units that were due have left.",
        "ORDER_ARCHIVED": "The order was put away.",
        "ORDER_UNARCHIVED": "The order was taken out of the archive.",
        "FULFILLMENT_OPENED": "A fulfillment was opened; the order's status stayed the same.",
        "FULFILLMENT_SHIPPED": "A fulfillment has left, and others are still to come.",
        "DELIVERY_NOTE_CREATED": "A delivery note was created for a fulfillment, or a corrected one.",
        "TRACKING_ADDED": "A tracking number was added.",
        "TRACKING_UPDATED": "A tracking number, its carrier or its link was corrected.",
        "TRACKING_REMOVED": "A tracking number was taken away.",
        "NOTE_ADDED": "Somebody wrote a note.",
        "PAYMENT_AUTHORIZED": "Money was authorized.",
        "PAYMENT_CAPTURED": "Money was captured.",
        "PAYMENT_RECORDED": "Money arrived outside a gateway, or was taken by the shop.",
        "PAYMENT_REFUNDED": "Money was given back.",
        "PAYMENT_VOIDED": "An authorization was given up.",
        "PAYMENT_PENDING": "A gateway is asked to move money; another event says what became of it.",
        "PAYMENT_FAILED": "A gateway has not moved the money that it was asked for.",
        "EMAIL_SENT": "An e-mail was handed to the mail server. If there is none, it was written to a file, and"
        " writtenToFile is true in the data.",
        "EMAIL_FAILED": "An e-mail was refused, or given up.",
        "ORDER_HELD": "The order was put on hold: no automation touches it.",
        "ORDER_RELEASED": "The order is no longer on hold.",
        "AUTOMATION_REFUSED": "A rule did not allow what an automation was to do.",
        "FULFILLMENT_REQUESTED": "A fulfillment was opened, and a fulfillment service is asked to ship it.",
        "FULFILLMENT_ACCEPTED": "The fulfillment service will ship.",
        "FULFILLMENT_REJECTED": "The fulfillment service does not ship; the units are free again.",
    },
)
_describe(
    OrderAction,
    "Something that can be done with an order.",
    {
        "CONFIRM": "confirmOrder",
        "CANCEL": "cancelOrder",
        "MARK_READY_TO_SHIP": "markReadyToShip",
        "CREATE_DELIVERY_NOTE": "createDeliveryNote",
        "REQUEST_FULFILLMENT": "requestFulfillment",
        "MARK_SHIPPED": "markShipped",
        "ADD_TRACKING": "addTracking",
        "UPDATE_TRACKING": "updateTracking",
        "REMOVE_TRACKING": "removeTracking",
        "ARCHIVE": "archiveOrder",
        "UNARCHIVE": "unarchiveOrder",
        "ADD_NOTE": "addOrderNote",
        "HOLD": "holdOrder",
        "RELEASE": "releaseOrder",
        "CAPTURE_PAYMENT": "capturePayment",
        "RECORD_PAYMENT": "recordPayment",
        "REFUND_PAYMENT": "refundPayment",
        "VOID_PAYMENT": "voidPayment",
    },
)
_describe(
    ActionRefusalCode,
    "Why something cannot be done with an order.",
    {
        "MISSING_SCOPE": "The caller lacks the scope of the mutation.",
        "NOT_FOR_SERVICES": "A fulfillment service's own token cannot do it.",
        "NOT_ASKED": "The calling fulfillment service is not asked to ship anything of the order.",
        "WRONG_STATUS": "The order's status does not allow it.",
        "ALREADY_DONE": "The order has the status already that it would bring.",
        "NOTHING_TO_PACK": "All units lie in a fulfillment, or have left.",
        "NOTHING_TO_SHIP": "All units that are due have left, or those that the calling service is asked for.",
        "NOTHING_TO_REQUEST": "No line is left that a fulfillment service ships.",
        "NO_TRACKING": "There is no tracking number.",
        "NOT_PAID_IN_FULL": "Something is still to be paid.",
        "ARCHIVED": "The order is in the archive.",
        "NOT_ARCHIVED": "The order is not in the archive.",
        "ON_HOLD": "The order is on hold.",
        "NOT_ON_HOLD": "The order is not on hold.",
        "HAS_DELIVERY_NOTE": "Every fulfillment has its delivery note.",
        "NOTHING_TO_PAY": "Nothing is left to pay.",
        "NOTHING_TO_REFUND": "Nothing is left that could be given back.",
        "NOTHING_TO_VOID": "Nothing is authorized that could be given up.",
        "CAPTURE_UNDER_WAY": "A gateway is being asked for what is left to pay.",
        "REFUND_UNDER_WAY": "A gateway is being asked for a refund.",
        "UNKNOWN_GATEWAY": "The payment was authorized at a gateway that is not set up here.",
    },
)
_describe(
    ErrorCode,
    "Why a mutation was refused.",
    {
        "NOT_FOUND": "There is no such thing, or it does not exist for this token.",
        "INVALID_TRANSITION": "The order's status does not allow this step.",
        "VERSION_CONFLICT": "The order has changed since expectedVersion; currentVersion says to what.",
        "IDEMPOTENCY_CONFLICT": "The idempotencyKey was used before, with another input.",
        "DUPLICATE_REFERENCE": "The channel has an order of this externalReference already.",
        "INVALID_INPUT": "A field's value is not acceptable; field says which.",
        "NOTHING_TO_SHIP": "All units that are due have left already.",
        "NOTHING_TO_REFUND": "Nothing was paid that could be given back.",
        "NOTHING_TO_VOID": "Nothing is authorized that could be given up.",
        "UNKNOWN_GATEWAY": "The payment was authorized at a gateway that is not set up here.",
        "PAYMENT_FAILED": "The gateway has refused; the transaction is FAILED, and message says why.",
        "RENDERING_FAILED": "The delivery note has its number, but could not be printed; message says what to mend.",
        "RENDERING_BUSY": "Too much is being printed at the moment: try again shortly.",
        "RENDERING_UNAVAILABLE": "The server lacks what it needs to print; message says what to install.",
    },
    name="UserErrorCode",
)
_describe(
    OrderSortField,
    "What a list of orders is sorted by.",
    {
        "PLACED_AT": "When the order was placed.",
        "UPDATED_AT": "When the order last changed.",
        "NUMBER": "The order's number.",
        "TOTAL": "The total in minor units, whatever its currency.",
    },
)
_describe(
    SortDirection,
    "Which end of a list comes first.",
    {"ASC": "The least or the oldest first.", "DESC": "The greatest or the newest first."},
)
_describe(
    TokenState,
    "Whether a token is good.",
    {
        "ACTIVE": "It is.",
        "EXPIRED": "It has ended by itself.",
        "REVOKED": "Somebody has ended it.",
    },
)
_describe(
    Scope,
    "What a token may do.",
    {
        "ORDERS_READ": "Read orders and their events, without personal data: orders:read.",
        "CUSTOMERS_READ": "See personal data of the orders that you read, such as customers and addresses:"
        " customers:read.",
        "ORDERS_WRITE": "Confirm, cancel, archive and annotate orders: orders:write.",
        "ORDERS_PLACE": "Place orders: orders:place.",
        "FULFILLMENT_WRITE": "Make ready, ship and track orders, and create their delivery notes: fulfillment:write.",
        "PAYMENTS_WRITE": "Capture, record and refund payments: payments:write.",
        "SETTINGS_WRITE": "Change settings: settings:write.",
        "TOKENS_WRITE": "Manage tokens: tokens:write.",
    },
)
