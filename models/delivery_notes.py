from datetime import datetime
from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.engine.fields import UtcField, key
from models.engine.table import Table


class DeliveryNoteSeries(Table):
    """A series of delivery-note numbers. Who takes the next holds the row until its note is committed: no gaps."""

    name = fields.CharField(max_length=64, primary_key=True)
    last_number = fields.BigIntField()

    class Meta:
        table = "delivery_note_series"


class DeliveryNote(Table):
    """What a fulfillment's paper says. `document` is all that it shows, as it was when the note was created.

    `position` counts the notes of a fulfillment from 1. Each replaces the one before it.
    """

    id: UUID = key()
    order: Any = fields.ForeignKeyField("models.Order", related_name="delivery_notes", on_delete=fields.RESTRICT)
    order_id: UUID
    fulfillment: Any = fields.ForeignKeyField(
        "models.Fulfillment", related_name="delivery_notes", on_delete=fields.RESTRICT
    )
    fulfillment_id: UUID
    position = fields.IntField()
    number = fields.CharField(max_length=64, unique=True)
    locale = fields.CharField(max_length=35)
    document: Any = fields.JSONField()
    created_at: datetime = UtcField()

    class Meta:
        table = "delivery_notes"
        unique_together = (("fulfillment", "position"),)
        indexes = (Index(fields=("order_id", "created_at")),)


class DeliveryNoteFile(Table):
    """A delivery note as it was rendered the first time: every later copy is this one, byte for byte."""

    id: UUID = key()
    delivery_note: Any = fields.OneToOneField("models.DeliveryNote", related_name=False, on_delete=fields.RESTRICT)
    delivery_note_id: UUID
    content: bytes = fields.BinaryField()
    created_at: datetime = UtcField()

    class Meta:
        table = "delivery_note_files"
