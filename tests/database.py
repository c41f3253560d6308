"""What a test can ask the open database itself: all of its rows, and which statements were run on it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tortoise import Tortoise, connections
from tortoise.models import Model


def tables() -> list[type[Model]]:
    """The models, by table."""
    assert Tortoise.apps is not None
    return sorted(Tortoise.apps["models"].values(), key=lambda model: model._meta.db_table)


async def all_rows() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table: two of these are equal where nothing was changed in between."""
    return {model._meta.db_table: list(await model.all().order_by(model._meta.pk_attr).values()) for model in tables()}


async def run_sql(sql: str, *values: Any) -> list[dict[str, Any]]:
    """The rows of a statement as the database has them."""
    _, rows = await connections.get("default").execute_query(sql, list(values))
    return [dict(row) for row in rows]


@dataclass(frozen=True)
class Statement:
    """What was sent to the database: placeholders and their values."""

    sql: str
    values: list[Any]


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.statements: list[Statement] = []

    def emit(self, record: logging.LogRecord) -> None:
        values = record.args[1] if isinstance(record.args, tuple) and len(record.args) == 2 else ()
        sql = record.args[0] if isinstance(record.args, tuple) and record.args else record.msg
        self.statements.append(Statement(str(sql), list(values or ())))  # type: ignore[call-overload]


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """Every statement that is sent to the database while the block runs."""
    logger = logging.getLogger("tortoise.db_client")
    recorder, level = _Recorder(), logger.level
    logger.addHandler(recorder)
    logger.setLevel(logging.DEBUG)
    try:
        yield recorder.statements
    finally:
        logger.setLevel(level)
        logger.removeHandler(recorder)
