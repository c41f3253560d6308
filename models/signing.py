from datetime import datetime

from tortoise import fields

from models.engine.fields import UtcField
from models.engine.table import Table


class SigningKey(Table):
    """The secret with which links are signed: one row, which the first process that needs it writes."""

    id = fields.IntField(primary_key=True)
    secret: bytes = fields.BinaryField()
    created_at: datetime = UtcField()

    class Meta:
        table = "signing_keys"
