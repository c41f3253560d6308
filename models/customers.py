from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields

from models.engine.fields import UtcField, key
from models.engine.table import Table


class Customer(Table):
    """Who bought, as one channel knows them.

    Customers belong to a channel, so that none can be reached through another channel's orders. Within a channel they
    are identified by `email`; without it each order has a customer of its own.
    """

    id: UUID = key()
    channel: Any = fields.ForeignKeyField("models.Channel", related_name=False, on_delete=fields.RESTRICT)
    channel_id: UUID
    email = fields.CharField(max_length=255, null=True)
    name = fields.CharField(max_length=255, null=True)
    phone = fields.CharField(max_length=64, null=True)
    created_at: datetime = UtcField()

    class Meta:
        table = "customers"
        unique_together = (("channel", "email"),)
