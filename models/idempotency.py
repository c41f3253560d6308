from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields

from models.engine.fields import UtcField, key
from models.engine.table import Table


class IdempotencyRecord(Table):
    """That a caller's key has acted already, with what input, and on which order.

    `result_id` is the key of the result, if that is not the order itself.
    """

    id: UUID = key()
    actor_id = fields.CharField(max_length=64)
    key = fields.CharField(max_length=255)
    fingerprint = fields.CharField(max_length=64)
    order: Any = fields.ForeignKeyField("models.Order", related_name=False, on_delete=fields.RESTRICT)
    order_id: UUID
    result_id: UUID | None = fields.UUIDField(null=True)
    created_at: datetime = UtcField()

    class Meta:
        table = "idempotency_records"
        unique_together = (("actor_id", "key"),)
