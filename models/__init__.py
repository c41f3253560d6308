"""The tables.

The first line of a model's docstring is its table's comment in the database. Changing it needs a migration.
"""

from models.channels import Channel
from models.customers import Customer
from models.delivery_notes import DeliveryNote, DeliveryNoteFile, DeliveryNoteSeries
from models.effects import Automation, Effect, EffectPosition, FailingCounterpart
from models.events import OrderEvent
from models.fulfillments import Fulfillment, FulfillmentLine, FulfillmentService, Tracking
from models.idempotency import IdempotencyRecord
from models.orders import Address, Order, OrderLine, OrderNumber, OrderTag, SearchTerm
from models.payments import Transaction
from models.registered_documents import RegisteredDocument
from models.signing import SigningKey
from models.tokens import ApiToken, RetiredSecret

__all__ = [
    "Address",
    "ApiToken",
    "Automation",
    "Channel",
    "Customer",
    "DeliveryNote",
    "DeliveryNoteFile",
    "DeliveryNoteSeries",
    "Effect",
    "EffectPosition",
    "FailingCounterpart",
    "Fulfillment",
    "FulfillmentLine",
    "FulfillmentService",
    "IdempotencyRecord",
    "Order",
    "OrderEvent",
    "OrderLine",
    "OrderNumber",
    "OrderTag",
    "RegisteredDocument",
    "RetiredSecret",
    "SearchTerm",
    "SigningKey",
    "Tracking",
    "Transaction",
]
