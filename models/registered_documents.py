from datetime import datetime

from tortoise import fields

from models.engine.fields import UtcField
from models.engine.table import Table


class RegisteredDocument(Table):
    """A GraphQL document that may be sent by callers who may send no other.

    `hash` is the SHA-256 of `text` in hexadecimal digits. `identifier` is what clients call it, if that is
    something else. `name` is for people: its operations.
    """

    hash = fields.CharField(max_length=64, primary_key=True)
    identifier = fields.CharField(max_length=255, null=True, unique=True)
    text = fields.TextField()
    name = fields.CharField(max_length=255)
    registered_at: datetime = UtcField()

    class Meta:
        table = "registered_documents"
