from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint

from models.engine.fields import UtcField, choice, key
from models.engine.table import Table
from models.enums import FulfillmentState, RequestStatus


class FulfillmentService(Table):
    """Somebody who packs and ships for the merchant. Requests go to `url`, signed with `secret`, or to `email`.

    `retired_secrets` are those before it, newest first: objects of `secret` and `goodUntil`. They sign besides until
    then.
    """

    id: UUID = key()
    code = fields.CharField(max_length=64, unique=True)
    name = fields.CharField(max_length=255)
    email = fields.CharField(max_length=255, null=True)
    url = fields.CharField(max_length=2048, null=True)
    secret = fields.CharField(max_length=255, null=True)
    retired_secrets: Any = fields.JSONField(null=True)
    created_at: datetime = UtcField()

    class Meta:
        table = "fulfillment_services"


class Fulfillment(Table):
    """Units of an order that leave together, in one parcel or several.

    If a service has been asked to ship it, `request_status` is its answer, and `rejection` the reason of a refusal.
    """

    id: UUID = key()
    order: Any = fields.ForeignKeyField("models.Order", related_name="fulfillments", on_delete=fields.RESTRICT)
    order_id: UUID
    position = fields.IntField()
    state: FulfillmentState = choice(FulfillmentState, 16, default=FulfillmentState.OPEN)
    service: Any = fields.ForeignKeyField(
        "models.FulfillmentService", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    service_id: UUID | None
    request_status: RequestStatus | None = choice(RequestStatus, 16, null=True)
    rejection = fields.CharField(max_length=1024, null=True)
    created_at: datetime = UtcField()
    shipped_at: datetime | None = UtcField(null=True)

    class Meta:
        table = "fulfillments"
        unique_together = (("order", "position"),)


class FulfillmentLine(Table):
    id: UUID = key()
    fulfillment: Any = fields.ForeignKeyField("models.Fulfillment", related_name="lines", on_delete=fields.RESTRICT)
    fulfillment_id: UUID
    order_line: Any = fields.ForeignKeyField(
        "models.OrderLine", related_name="fulfillment_lines", on_delete=fields.RESTRICT
    )
    order_line_id: UUID
    quantity = fields.IntField()

    class Meta:
        table = "fulfillment_lines"
        unique_together = (("fulfillment", "order_line"),)
        constraints = (CheckConstraint(check="quantity > 0", name="fulfillment_lines_quantity_positive"),)


class Tracking(Table):
    """A carrier's number by which a parcel of a fulfillment can be followed."""

    id: UUID = key()
    order: Any = fields.ForeignKeyField("models.Order", related_name="tracking", on_delete=fields.RESTRICT)
    order_id: UUID
    fulfillment: Any = fields.ForeignKeyField("models.Fulfillment", related_name="tracking", on_delete=fields.RESTRICT)
    fulfillment_id: UUID
    number = fields.CharField(max_length=128)
    carrier = fields.CharField(max_length=64, null=True)
    url = fields.CharField(max_length=2048, null=True)
    created_at: datetime = UtcField()
    updated_at: datetime = UtcField()

    class Meta:
        table = "tracking"
        unique_together = (("fulfillment", "number"),)
        indexes = (Index(fields=("order_id", "created_at")),)
