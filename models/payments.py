from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import CheckConstraint

from models.engine.fields import UtcField, choice, key
from models.engine.table import Table
from models.enums import TransactionKind, TransactionStatus


class Transaction(Table):
    """A movement of money for an order, or a promise of one.

    `amount` is in minor units of the order's currency. One that is `PENDING` was asked of its gateway, or is about to
    be, with its key as idempotency key; `failure` is why it has failed, in the gateway's words.
    """

    id: UUID = key()
    order: Any = fields.ForeignKeyField("models.Order", related_name="transactions", on_delete=fields.RESTRICT)
    order_id: UUID
    kind: TransactionKind = choice(TransactionKind, 16)
    status: TransactionStatus = choice(TransactionStatus, 16)
    gateway = fields.CharField(max_length=64)
    reference = fields.CharField(max_length=255, null=True)
    failure = fields.CharField(max_length=1024, null=True)
    amount = fields.BigIntField()
    parent: Any = fields.ForeignKeyField("models.Transaction", related_name=False, null=True, on_delete=fields.RESTRICT)
    parent_id: UUID | None
    processed_at: datetime = UtcField()

    class Meta:
        table = "transactions"
        indexes = (Index(fields=("order_id", "processed_at")), Index(fields=("reference",)))
        constraints = (CheckConstraint(check="amount >= 0", name="transactions_amount_not_negative"),)
