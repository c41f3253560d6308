from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.engine.fields import DetailsField, UtcField, choice
from models.engine.table import Table
from models.enums import ActorKind, FulfillmentStatus, OrderEventType, OrderStatus, PaymentStatus


class OrderEvent(Table):
    """One thing that happened to an order: timeline, audit, live stream and outbox are all read from here.

    `id` is the position in the log. The `from_…`/`to_…` columns are filled if the event changed that status.
    `has_effects` is false if no e-mail, automation, payment or request may follow from it, such as in an import.
    """

    id = fields.BigIntField(primary_key=True)
    order: Any = fields.ForeignKeyField("models.Order", related_name="events", on_delete=fields.RESTRICT)
    order_id: UUID
    channel: Any = fields.ForeignKeyField("models.Channel", related_name=False, on_delete=fields.RESTRICT)
    channel_id: UUID
    order_version = fields.IntField()
    type: OrderEventType = choice(OrderEventType, 32)
    occurred_at: datetime = UtcField()
    actor_kind: ActorKind = choice(ActorKind, 16)
    actor_id = fields.CharField(max_length=64, null=True)
    actor_name = fields.CharField(max_length=255)
    from_status: OrderStatus | None = choice(OrderStatus, 24, null=True)
    to_status: OrderStatus | None = choice(OrderStatus, 24, null=True)
    from_payment_status: PaymentStatus | None = choice(PaymentStatus, 24, null=True)
    to_payment_status: PaymentStatus | None = choice(PaymentStatus, 24, null=True)
    from_fulfillment_status: FulfillmentStatus | None = choice(FulfillmentStatus, 24, null=True)
    to_fulfillment_status: FulfillmentStatus | None = choice(FulfillmentStatus, 24, null=True)
    message = fields.CharField(max_length=1024)
    data: Any = DetailsField()
    has_effects = fields.BooleanField(default=True, db_default=True)

    class Meta:
        table = "order_events"
        unique_together = (("order", "order_version"),)
        indexes = (Index(fields=("channel_id", "id")), Index(fields=("type", "id")))

    @property
    def changes_status(self) -> bool:
        """Whether this changed one of the order's three statuses or its archive flag."""
        return (
            self.to_status is not None
            or self.to_payment_status is not None
            or self.to_fulfillment_status is not None
            or self.type in (OrderEventType.ORDER_ARCHIVED, OrderEventType.ORDER_UNARCHIVED)
        )
