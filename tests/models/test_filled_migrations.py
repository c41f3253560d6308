"""Each migration on a filled database: every row is there afterwards, with the contents that it had.

The rows are those of `tests.models.migration_rows`.
"""

import json
import sqlite3
import uuid
from ast import literal_eval
from itertools import pairwise
from pathlib import Path

import pytest
from tortoise import Tortoise
from tortoise.migrations.api import migrate

from models.engine.database import config, connect, is_postgres
from tests.database import sqlite_path
from tests.models.migration_rows import MIGRATIONS, NAMES, Tables, missing_rows, rows_until

SAMPLE = """
from tortoise import fields, migrations
from tortoise.migrations import operations as ops

class Migration(migrations.Migration):
    dependencies = [("models", "{last}")]
    operations = [{operation}]
"""


async def migrate_to(url: str, name: str, package: str = "models.migrations") -> None:
    configuration = config(url)
    configuration["apps"]["models"]["migrations"] = package
    try:
        await migrate(config=configuration, target=f"models.{name}")
    finally:
        await Tortoise.close_connections()


async def fill(url: str, tables: Tables) -> None:
    """Insert the rows. A column that a row does not name gets its default."""
    if is_postgres(url):
        connection = await connect(url)
        for name, rows in tables.items():
            for row in rows:
                columns = ", ".join(row)
                sql = f"INSERT INTO {name} ({columns}) SELECT {columns} FROM json_populate_record(NULL::{name}, $1)"
                await connection.execute(sql, json.dumps(row))
        await connection.close()
        return
    with sqlite3.connect(sqlite_path(url)) as file:
        file.execute("PRAGMA foreign_keys = ON")
        for name, rows in tables.items():
            for row in rows:
                values = [json.dumps(each) if isinstance(each, dict | list) else each for each in row.values()]
                marks = ", ".join("?" * len(row))
                file.execute(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", values)
    file.close()


async def empty(url: str, tables: Tables) -> None:
    """Delete the rows of the tables, those first that point to others."""
    deletes = [f"DELETE FROM {name}" for name in reversed(list(tables))]
    if is_postgres(url):
        connection = await connect(url)
        await connection.execute("; ".join(deletes))
        await connection.close()
        return
    with sqlite3.connect(sqlite_path(url)) as file:
        file.executescript("; ".join(deletes))
    file.close()


async def contents(url: str, tables: Tables) -> dict[str, list[str]]:
    """What there is in the columns that the rows of `tables` have, a line for each row of the database."""
    columns = {name: list(dict.fromkeys(column for row in rows for column in row)) for name, rows in tables.items()}
    selects = {name: f"SELECT {', '.join(columns[name])} FROM {name}" for name in tables}
    if is_postgres(url):
        connection = await connect(url)
        found = {name: await connection.fetch(sql) for name, sql in selects.items()}
        await connection.close()
    else:
        file = sqlite3.connect(sqlite_path(url))
        found = {name: file.execute(sql).fetchall() for name, sql in selects.items()}
        file.close()
    return {name: sorted(repr(tuple(row)) for row in rows) for name, rows in found.items()}


async def keeps_all(url: str, before: str, name: str, package: str = "models.migrations") -> None:
    """Fills the database, which is at the migration `before`, and holds what the migration `name` leaves against it."""
    tables = rows_until(before)
    await fill(url, tables)
    filled = await contents(url, tables)
    assert {name: len(rows) for name, rows in filled.items()} == {name: len(rows) for name, rows in tables.items()}
    await migrate_to(url, name, package)
    assert await contents(url, tables) == filled, name


def sample(folder: Path, operation: str) -> str:
    """A package of all migrations, and of one more after them that does this."""
    package = folder / f"sample_{uuid.uuid4().hex}"
    package.mkdir()
    for path in MIGRATIONS.glob("*.py"):
        (package / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (package / "9999_sample.py").write_text(SAMPLE.format(last=NAMES[-1], operation=operation), encoding="utf-8")
    return package.name


@pytest.fixture(autouse=True)
def _samples_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)


NULLABLE = "ops.AddField('Order', 'sample', fields.CharField(max_length=9, null=True))"


async def test_each_migration_keeps_every_row(empty_url: str) -> None:
    if not is_postgres(empty_url):
        Path(sqlite_path(empty_url)).parent.mkdir()
    await migrate_to(empty_url, NAMES[0])
    for before, name in pairwise(NAMES):
        await keeps_all(empty_url, before, name)
        await empty(empty_url, rows_until(name))


@pytest.mark.slow
async def test_names_find_nothing_for_those_who_may_not_see_them(empty_url: str) -> None:
    """What an order is found by besides names and e-mail addresses still finds it."""
    if not is_postgres(empty_url):
        Path(sqlite_path(empty_url)).parent.mkdir()
    before, after = "0008_effect_lanes", "0010_impersonal_terms"
    await migrate_to(empty_url, before)
    await fill(empty_url, rows_until(before))
    await migrate_to(empty_url, after)
    found = await contents(empty_url, {"search_terms": [{"term": 0, "personal": 0}]})
    terms = {(term, bool(personal)) for term, personal in map(literal_eval, found["search_terms"])}
    assert terms == {(row["term"], row.get("personal", True)) for row in rows_until(after)["search_terms"]}
    assert {("anna", True), ("a0@example.com", True), ("1001", False), ("sock-1", False)} <= terms


async def test_a_migration_after_the_last_keeps_every_row(database_url: str, tmp_path: Path) -> None:
    await keeps_all(database_url, NAMES[-1], "9999_sample", sample(tmp_path, NULLABLE))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["DELETE FROM tracking WHERE number = 'T-1'", "UPDATE orders SET note = ''"])
async def test_a_migration_that_loses_something_is_noticed(database_url: str, tmp_path: Path, loss: str) -> None:
    with pytest.raises(AssertionError):
        await keeps_all(database_url, NAMES[-1], "9999_sample", sample(tmp_path, f'ops.RunSQL("{loss}")'))


def test_each_table_and_column_has_a_value_for_the_next_migration() -> None:
    """If not, `python -m tests.models.migration_rows` writes the file of the newest migration."""
    assert missing_rows() == {}
