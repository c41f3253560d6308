"""Column types that several tables share."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from tortoise import fields
from tortoise.exceptions import FieldError
from tortoise.fields.base import Field
from tortoise.fields.data import CharEnumFieldInstance
from tortoise.models import Model
from uuid_utils.compat import uuid7

from models.vocabularies import StoredVocabulary, stored_word


def key() -> Any:
    """Declare a primary key made by the application: a UUIDv7 (RFC 9562). New rows lie together in the index."""
    return fields.UUIDField(primary_key=True, default=uuid7)


def new_key() -> UUID:
    """Return the next primary key, for rows whose key must be known before they are written."""
    return uuid7()


class BytewiseCharField(fields.CharField):  # type: ignore[type-arg]
    """Text that both databases compare byte by byte, so that a prefix is a range of the index.

    SQLite does that by default. PostgreSQL would sort by the server's language.
    """

    class _db_postgres:  # noqa: N801 - the name that Tortoise looks for
        def __init__(self, field: "BytewiseCharField") -> None:
            self.field = field

        @property
        def SQL_TYPE(self) -> str:  # noqa: N802
            return f'VARCHAR({self.field.max_length}) COLLATE "C"'


class UtcField(fields.DatetimeField[datetime]):
    """A moment, always written in UTC.

    SQLite stores it as text, which sorts like the moments because all are in one zone. PostgreSQL returns it in UTC.
    """

    skip_to_python_if_native = True

    def to_db_value(self, value: Any, instance: type[Model] | Model) -> Any:
        if isinstance(value, datetime):
            return value if value.tzinfo is UTC else value.astimezone(UTC)
        return super().to_db_value(value, instance)


class ChoiceField(CharEnumFieldInstance):
    """A column of words of a vocabulary. Reads a word that this version does not know as a stand-in."""

    enum_type: type[StoredVocabulary]

    def to_python_value(self, value: Any) -> Any:
        return None if value is None else stored_word(self.enum_type, value)

    def describe(self, serializable: bool) -> dict[str, Any]:
        """Describe the column for migrations. How a word is read does not concern the table."""
        return {**super().describe(serializable), "field_type": CharEnumFieldInstance.__name__}


class DetailsField(fields.JSONField[Any]):
    """A column of JSON that is only shown. Reads what is not JSON as None."""

    def to_python_value(self, value: Any) -> Any:
        try:
            return super().to_python_value(value)
        except FieldError:
            return None

    def describe(self, serializable: bool) -> dict[str, Any]:
        """Describe the column for migrations, as `ChoiceField` does."""
        return {**super().describe(serializable), "field_type": fields.JSONField.__name__}


def choice(vocabulary: type[StoredVocabulary], length: int, **options: Any) -> Any:
    """Return a column that holds one word of a vocabulary.

    It carries no comment that lists the words, so that a new word needs no migration; `length` leaves room for one.
    """
    return ChoiceField(vocabulary, description="", max_length=length, **options)


_TEXTS_AND_NUMBERS: Final = (fields.CharField, fields.TextField, fields.IntField, fields.BigIntField)
_AS_IT_COMES: Final = {
    "sqlite": _TEXTS_AND_NUMBERS,
    "postgres": (*_TEXTS_AND_NUMBERS, fields.BooleanField, fields.UUIDField, fields.DatetimeField),
}


class _Words(dict[str | None, Any]):
    """The words of a column by what is stored. Looking up a known word costs no more than in any dictionary."""

    def __init__(self, field: CharEnumFieldInstance) -> None:
        super().__init__({each.value: each for each in field.enum_type})
        self[None] = None
        self._field = field

    def __missing__(self, text: Any) -> Any:
        return self._field.to_python_value(text)


def reading(field: Field[Any], dialect: str) -> Callable[[Any], Any] | None:
    """Return the function that makes the model's value from the driver's value, or None if they are the same."""
    if isinstance(field, CharEnumFieldInstance):
        return _Words(field).__getitem__
    return None if isinstance(field, _AS_IT_COMES[dialect]) else field.to_python_value


def writing(field: Field[Any], model: type[Model]) -> Callable[[Any, type[Model]], Any]:
    """Return the function that makes the database's value from a model's value.

    For a word it is a look-up in a table. Tortoise would check its length each time, although a column has room for all
    words of its vocabulary.
    """
    if not isinstance(field, CharEnumFieldInstance):
        return field.to_db_value
    words: dict[Any, Any] = {each: field.to_db_value(each, model) for each in field.enum_type}
    if field.null:
        words[None] = None

    def write(value: Any, instance: type[Model]) -> Any:
        return words[value] if value in words else field.to_db_value(value, instance)

    return write
