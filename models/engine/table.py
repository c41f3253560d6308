"""The base of all tables."""

from typing import TYPE_CHECKING, TypeVar

from tortoise.models import Model


class Table(Model):
    """A table. Its type promises no more than every row has: the columns and the properties.

    A row may be one that was only read, and cannot be written. So the type has no `save`: rows that were loaded to be
    changed are written by the functions of `models.engine.rows`.
    """

    class Meta:
        abstract = True

    if TYPE_CHECKING:
        save: None  # type: ignore[assignment]
        delete: None  # type: ignore[assignment]
        refresh_from_db: None  # type: ignore[assignment]
        fetch_related: None  # type: ignore[assignment]
        update_from_dict: None  # type: ignore[assignment]


Row = TypeVar("Row", bound=Table)
