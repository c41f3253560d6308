"""How rows come from the database and go back to it.

To show something, *read* it: `read`, `read_where` and `read_by` return records that have the columns and properties of
their model, cost little, and cannot be changed or written.

To change something, *load* it: `load` and `load_where` return instances of their model. `save`, `add` and `remove`
write them one by one, the functions of `models.engine.statements` many with one statement.

docs/architecture.md says when Tortoise's own querysets are used instead.
"""

from models.engine.instances import add, load, load_where, reload, remove, save
from models.engine.records import PIECE, Columns, Selection, read, read_by, read_where

__all__ = [
    "PIECE",
    "Columns",
    "Selection",
    "add",
    "load",
    "load_where",
    "read",
    "read_by",
    "read_where",
    "reload",
    "remove",
    "save",
]
