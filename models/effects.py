from datetime import datetime
from typing import Any, Final
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.engine.fields import UtcField, choice, key
from models.engine.table import Table
from models.enums import AutomationKind, EffectKind, EffectState

LONGEST_ERROR: Final = 1024  # characters


class Effect(Table):
    """Something that is to happen once because of an event, outside of this database or by itself.

    `subject` is the kind of the e-mail or automation, `target` an address, or the key of a transaction or a
    fulfillment. The process that works on it leases it until `leased_until`. If the process dies, another one takes the
    effect over then. `data` is what an attempt has saved for the next one.

    `lane` is the kind and the counterpart, as in `PAYMENT:stripe`. The effects of one lane wait for the same service.
    """

    id: UUID = key()
    event: Any = fields.ForeignKeyField("models.OrderEvent", related_name=False, on_delete=fields.RESTRICT)
    event_id: int
    order: Any = fields.ForeignKeyField("models.Order", related_name="effects", on_delete=fields.RESTRICT)
    order_id: UUID
    channel: Any = fields.ForeignKeyField("models.Channel", related_name=False, on_delete=fields.RESTRICT)
    channel_id: UUID
    kind: EffectKind = choice(EffectKind, 32)
    subject = fields.CharField(max_length=64, default="")
    target = fields.CharField(max_length=255, default="")
    lane = fields.CharField(max_length=128, default="", db_default="")
    state: EffectState = choice(EffectState, 16, default=EffectState.WAITING)
    attempts = fields.IntField(default=0)
    due_at: datetime = UtcField()
    leased_until: datetime | None = UtcField(null=True)
    error = fields.CharField(max_length=LONGEST_ERROR, null=True)
    data: Any = fields.JSONField(default=dict)
    created_at: datetime = UtcField()
    finished_at: datetime | None = UtcField(null=True)

    class Meta:
        table = "effects"
        unique_together = (("event", "kind", "subject", "target"),)
        indexes = (Index(fields=("state", "lane", "due_at")), Index(fields=("order_id", "created_at")))


class FailingCounterpart(Table):
    """A service outside that effects need and that does not work. One that works has no row.

    After several failures in a row it is not called until `paused_until`. Then one effect (`probe_id`) tries whether it
    works again.
    """

    lane = fields.CharField(max_length=128, primary_key=True)
    failures = fields.IntField()
    failing_since: datetime = UtcField()
    paused_until: datetime | None = UtcField(null=True)
    probe_id: UUID | None = fields.UUIDField(null=True)
    error = fields.CharField(max_length=LONGEST_ERROR)

    class Meta:
        table = "failing_counterparts"


class EffectPosition(Table):
    """Up to where the log has been looked through for effects. Who holds the row does so."""

    name = fields.CharField(max_length=64, primary_key=True)
    position = fields.BigIntField()

    class Meta:
        table = "effect_positions"


class Automation(Table):
    """That a rule acts by itself in a channel, or in all that have no row of their own where `channel` is null."""

    id: UUID = key()
    kind: AutomationKind = choice(AutomationKind, 32)
    channel: Any = fields.ForeignKeyField("models.Channel", related_name=False, null=True, on_delete=fields.RESTRICT)
    channel_id: UUID | None
    enabled = fields.BooleanField(default=False)

    class Meta:
        table = "automations"
        unique_together = (("kind", "channel"),)
