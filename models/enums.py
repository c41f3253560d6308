"""The vocabularies of the tables; the GraphQL enums of the same names show their words."""

from models.vocabularies import StoredVocabulary


class OrderStatus(StoredVocabulary):
    """How far an order has come."""

    PENDING = "PENDING", "It has come in, and nobody has accepted it yet."
    CONFIRMED = "CONFIRMED", "It was accepted."
    READY_TO_SHIP = "READY_TO_SHIP", "It is packed, or can be."
    SHIPPED = "SHIPPED", "Everything that is due has left."
    CANCELLED = "CANCELLED", "It will not be carried out."


class PaymentStatus(StoredVocabulary):
    """How an order stands with its payment. Derived from its transactions."""

    PENDING = "PENDING", "Nothing was paid or authorized."
    AUTHORIZED = "AUTHORIZED", "Money was authorized that can be captured."
    PARTIALLY_PAID = "PARTIALLY_PAID", "Part of the total was paid."
    PAID = "PAID", "The whole total was paid."
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED", "Part of what was paid was given back."
    REFUNDED = "REFUNDED", "All that was paid was given back."
    VOIDED = "VOIDED", "What was authorized was given up, and nothing was paid."


class FulfillmentStatus(StoredVocabulary):
    """How much of an order has left. Derived from its fulfillments."""

    UNFULFILLED = "UNFULFILLED", "Nothing has left."
    PARTIALLY_FULFILLED = "PARTIALLY_FULFILLED", "Some units have left."
    FULFILLED = "FULFILLED", "All units that are due have left."


class OrderSource(StoredVocabulary):
    """What kind of place an order was placed in."""

    ONLINE = "ONLINE", "A shop on the web."
    POS = "POS", "A point of sale: a till."
    MARKETPLACE = "MARKETPLACE", "A marketplace."
    MANUAL = "MANUAL", "Staff, by hand."


class CancelReason(StoredVocabulary):
    """Why an order was cancelled."""

    CUSTOMER = "CUSTOMER", "The customer asked for it."
    INVENTORY = "INVENTORY", "There was not enough in stock."
    FRAUD = "FRAUD", "The order was fraudulent."
    DECLINED = "DECLINED", "The payment was declined."
    STAFF = "STAFF", "Staff made a mistake."
    OTHER = "OTHER", "Anything else."


class AddressKind(StoredVocabulary):
    """What an address of an order is for."""

    SHIPPING = "SHIPPING", "Where the order goes."
    BILLING = "BILLING", "Who is billed."


class FulfillmentState(StoredVocabulary):
    """How far a fulfillment has come."""

    OPEN = "OPEN", "It is still in the house."
    SHIPPED = "SHIPPED", "It has left."
    CANCELLED = "CANCELLED", "It was given up, because the order was cancelled."


class TransactionKind(StoredVocabulary):
    """What a transaction does."""

    AUTHORIZATION = "AUTHORIZATION", "Money is reserved, and can be captured."
    CAPTURE = "CAPTURE", "Money is taken, from an authorization or by hand."
    SALE = "SALE", "Money was taken at once, or arrived outside a gateway."
    REFUND = "REFUND", "Money is given back."
    VOID = "VOID", "An authorization is given up."


class TransactionStatus(StoredVocabulary):
    """What became of a transaction."""

    PENDING = "PENDING", "It is under way."
    SUCCEEDED = "SUCCEEDED", "It was carried out."
    FAILED = "FAILED", "It was refused; no money has moved."


class EffectKind(StoredVocabulary):
    """What kind of thing happens because of an event."""

    EMAIL = "EMAIL", "An e-mail is sent."
    AUTOMATION = "AUTOMATION", "A rule acts by itself."
    PAYMENT = "PAYMENT", "A gateway is asked to move money."
    FULFILLMENT_REQUEST = "FULFILLMENT_REQUEST", "A fulfillment service is told what it is asked to ship."
    PLANNING = "PLANNING", "What is to happen because of the event could not be worked out: retryEffect does so again."


class EffectState(StoredVocabulary):
    """How far an effect has come."""

    WAITING = "WAITING", "It is tried until it works."
    DONE = "DONE", "It has happened."
    FAILED = "FAILED", "It was given up: a person must look at it."


class EmailKind(StoredVocabulary):
    """Which e-mail."""

    ORDER_CONFIRMATION = "ORDER_CONFIRMATION", "To the customer: the order has come in."
    NEW_ORDER = "NEW_ORDER", "To the merchant: an order has come in."
    POS_RECEIPT = "POS_RECEIPT", "To the customer: the receipt of a purchase at a point of sale."
    SHIPPING_CONFIRMATION = "SHIPPING_CONFIRMATION", "To the customer: a parcel has left."
    DOWNLOADS = "DOWNLOADS", "To the customer: links to digital products."
    CANCELLATION = "CANCELLATION", "To the customer: the order was cancelled."
    REFUND = "REFUND", "To the customer: money was given back."
    FULFILLMENT_REQUEST = "FULFILLMENT_REQUEST", "To a fulfillment service that has no URL: what it is asked to ship."


class AutomationKind(StoredVocabulary):
    """A rule that acts by itself, once it is turned on."""

    CONFIRM_ON_ARRIVAL = "CONFIRM_ON_ARRIVAL", "An order that comes in is confirmed."
    CAPTURE_ON_ARRIVAL = "CAPTURE_ON_ARRIVAL", "What was authorized is captured when the order comes in."
    CAPTURE_ON_SHIPPING = "CAPTURE_ON_SHIPPING", "What was authorized is captured once the order is SHIPPED."
    FULFILL_ON_PAYMENT = (
        "FULFILL_ON_PAYMENT",
        "Once a confirmed order is PAID, its digital lines are fulfilled, and its fulfillment services are asked "
        "to ship theirs.",
    )
    ARCHIVE_WHEN_DONE = "ARCHIVE_WHEN_DONE", "An order that is SHIPPED and paid in full is archived."


class RequestStatus(StoredVocabulary):
    """What a fulfillment service has answered."""

    REQUESTED = "REQUESTED", "Nothing yet."
    ACCEPTED = "ACCEPTED", "It will ship."
    REJECTED = "REJECTED", "It does not ship."


class ActorKind(StoredVocabulary):
    """What kind of caller acted."""

    TOKEN = "TOKEN", "A person, shop or partner with an API token."
    PERSON = "PERSON", "Somebody who has logged in at the OpenID Connect issuer."
    AUTOMATION = "AUTOMATION", "A rule that acts by itself."
    CHANNEL = "CHANNEL", "A sales channel, such as an import of its orders."
    SYSTEM = "SYSTEM", "An operator's command."


class OrderEventType(StoredVocabulary):
    """What happened to an order."""

    ORDER_PLACED = "ORDER_PLACED", "The order came in."
    ORDER_CONFIRMED = "ORDER_CONFIRMED", "The order was accepted."
    ORDER_CANCELLED = "ORDER_CANCELLED", "The order was cancelled."
    ORDER_READY_TO_SHIP = "ORDER_READY_TO_SHIP", "The order is ready to ship."
    ORDER_SHIPPED = "ORDER_SHIPPED", "The last units that were due have left."
    ORDER_ARCHIVED = "ORDER_ARCHIVED", "The order was put away."
    ORDER_UNARCHIVED = "ORDER_UNARCHIVED", "The order was taken out of the archive."
    FULFILLMENT_OPENED = "FULFILLMENT_OPENED", "A fulfillment was opened; the order's status stayed the same."
    FULFILLMENT_SHIPPED = "FULFILLMENT_SHIPPED", "A fulfillment has left, and others are still to come."
    DELIVERY_NOTE_CREATED = (
        "DELIVERY_NOTE_CREATED",
        "A delivery note was created for a fulfillment, or a corrected one.",
    )
    TRACKING_ADDED = "TRACKING_ADDED", "A tracking number was added."
    TRACKING_UPDATED = "TRACKING_UPDATED", "A tracking number, its carrier or its link was corrected."
    TRACKING_REMOVED = "TRACKING_REMOVED", "A tracking number was taken away."
    NOTE_ADDED = "NOTE_ADDED", "Somebody wrote a note."
    PAYMENT_AUTHORIZED = "PAYMENT_AUTHORIZED", "Money was authorized."
    PAYMENT_CAPTURED = "PAYMENT_CAPTURED", "Money was captured."
    PAYMENT_RECORDED = "PAYMENT_RECORDED", "Money arrived outside a gateway, or was taken by the shop."
    PAYMENT_REFUNDED = "PAYMENT_REFUNDED", "Money was given back."
    PAYMENT_VOIDED = "PAYMENT_VOIDED", "An authorization was given up."
    PAYMENT_PENDING = "PAYMENT_PENDING", "A gateway is asked to move money; another event says what became of it."
    PAYMENT_FAILED = "PAYMENT_FAILED", "A gateway has not moved the money that it was asked for."
    EMAIL_SENT = (
        "EMAIL_SENT",
        "An e-mail was handed to the mail server. If there is none, it was written to a file, and writtenToFile is "
        "true in the data.",
    )
    EMAIL_FAILED = "EMAIL_FAILED", "An e-mail was refused, or given up."
    ORDER_HELD = "ORDER_HELD", "The order was put on hold: no automation touches it."
    ORDER_RELEASED = "ORDER_RELEASED", "The order is no longer on hold."
    AUTOMATION_REFUSED = "AUTOMATION_REFUSED", "A rule did not allow what an automation was to do."
    FULFILLMENT_REQUESTED = (
        "FULFILLMENT_REQUESTED",
        "A fulfillment was opened, and a fulfillment service is asked to ship it.",
    )
    FULFILLMENT_ACCEPTED = "FULFILLMENT_ACCEPTED", "The fulfillment service will ship."
    FULFILLMENT_REJECTED = "FULFILLMENT_REJECTED", "The fulfillment service does not ship; the units are free again."
