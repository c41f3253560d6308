from datetime import datetime
from uuid import UUID

from tortoise import fields

from models.engine.fields import UtcField, key
from models.engine.table import Table


class Channel(Table):
    """Where orders come from: a web shop, a marketplace, a till. Access is granted by channel."""

    id: UUID = key()
    code = fields.CharField(max_length=64, unique=True)
    name = fields.CharField(max_length=255)
    created_at: datetime = UtcField()

    class Meta:
        table = "channels"
