"""As much of the product's tables as the peers read."""

from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.models import Model


class Order(Model):
    id: UUID = fields.UUIDField(primary_key=True)
    number = fields.BigIntField()
    status = fields.CharField(max_length=24)
    payment_status = fields.CharField(max_length=24)
    fulfillment_status = fields.CharField(max_length=24)
    placed_at: datetime = fields.DatetimeField()
    currency = fields.CharField(max_length=3)
    total = fields.BigIntField()
    note = fields.TextField(null=True)
    lines: fields.ReverseRelation["OrderLine"]

    class Meta:
        table = "orders"


class OrderLine(Model):
    id: UUID = fields.UUIDField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("models.Order", related_name="lines")
    position = fields.IntField()
    sku = fields.CharField(max_length=255, null=True)
    title = fields.CharField(max_length=512)
    quantity = fields.IntField()
    unit_price = fields.BigIntField()
    total = fields.BigIntField()

    class Meta:
        table = "order_lines"
