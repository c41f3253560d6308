from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.engine.fields import UtcField, key
from models.engine.table import Table


class ApiToken(Table):
    """A caller's key, of which only the SHA-256 is kept.

    `scopes` is a list of scope names. `creator` is the token by which it was created, if that is known. `channel_ids`
    is a list of channel keys as text, or null for every channel. `service` is the fulfillment service whose token it
    is, if it is one's. `registered_only` says that its caller may send registered documents alone. `last_used_at` may
    be up to two minutes too early. `created_by` and `revoked_by` are the names of the callers who did that.
    `implies_customers_read` is set for tokens older than the scope customers:read: with orders:read they have it, too.
    So workers of an earlier version, which do not know the scope, still accept the token.
    """

    id: UUID = key()
    name = fields.CharField(max_length=255)
    prefix = fields.CharField(max_length=16)
    hash = fields.CharField(max_length=64, unique=True)
    scopes: Any = fields.JSONField()
    channel_ids: Any = fields.JSONField(null=True)
    service: Any = fields.ForeignKeyField(
        "models.FulfillmentService", related_name=False, null=True, on_delete=fields.RESTRICT
    )
    service_id: UUID | None
    registered_only = fields.BooleanField(default=False, db_default=False)
    created_at: datetime = UtcField()
    created_by = fields.CharField(max_length=255, null=True)
    creator: Any = fields.ForeignKeyField("models.ApiToken", related_name=False, null=True, on_delete=fields.RESTRICT)
    creator_id: UUID | None
    implies_customers_read = fields.BooleanField(default=False, db_default=True)
    expires_at: datetime | None = UtcField(null=True)
    last_used_at: datetime | None = UtcField(null=True)
    revoked_at: datetime | None = UtcField(null=True)
    revoked_by = fields.CharField(max_length=255, null=True)

    class Meta:
        table = "api_tokens"


class RetiredSecret(Table):
    """A secret that a token had before it was given another one, and that is good until `good_until`."""

    id: UUID = key()
    token: Any = fields.ForeignKeyField("models.ApiToken", related_name=False, on_delete=fields.RESTRICT)
    token_id: UUID
    hash = fields.CharField(max_length=64, unique=True)
    good_until: datetime = UtcField()

    class Meta:
        table = "retired_secrets"
        indexes = (Index(fields=("token_id",)),)
