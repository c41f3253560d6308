"""Each migration on a filled database: every row is there afterwards, with the contents that it had.

`rows/NAME.json` is what a shop has in its database after the migration of that name: written down once, and read for
the migration that comes after it. A new migration needs the file of the one before.
"""

import json
import sqlite3
import uuid
from ast import literal_eval
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tortoise import Tortoise
from tortoise.migrations.api import migrate

from models.engine.database import config, connect, is_postgres
from tests.database import sqlite_path

MIGRATIONS = Path(__file__).parents[2] / "models" / "migrations"
NAMES = sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))
ROWS = Path(__file__).parent / "rows"

Table = list[dict[str, Any]]
Tables = Mapping[str, Table]

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
    """Tables come in an order in which a row follows those that it points to."""
    if is_postgres(url):
        connection = await connect(url)
        for name, rows in tables.items():
            sql = f"INSERT INTO {name} SELECT * FROM json_populate_recordset(NULL::{name}, $1)"
            await connection.execute(sql, json.dumps(rows))
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


async def contents(url: str, tables: Tables) -> dict[str, list[str]]:
    """What there is in the columns that the rows of `tables` have, a line for each row of the database."""
    selects = {name: f"SELECT {', '.join(rows[0])} FROM {name}" for name, rows in tables.items()}
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
    tables: Tables = json.loads((ROWS / f"{before}.json").read_text(encoding="utf-8"))
    await fill(url, tables)
    filled = await contents(url, tables)
    assert {name: len(rows) for name, rows in filled.items()} == {name: len(rows) for name, rows in tables.items()}
    await migrate_to(url, name, package)
    assert await contents(url, tables) == filled


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


@pytest.mark.parametrize(("before", "name"), list(pairwise(NAMES)))
async def test_a_migration_keeps_every_row(empty_url: str, before: str, name: str) -> None:
    if not is_postgres(empty_url):
        Path(sqlite_path(empty_url)).parent.mkdir()
    await migrate_to(empty_url, before)
    await keeps_all(empty_url, before, name)


async def test_names_find_nothing_for_those_who_may_not_see_them(empty_url: str) -> None:
    """What an order is found by besides names and e-mail addresses still finds it."""
    if not is_postgres(empty_url):
        Path(sqlite_path(empty_url)).parent.mkdir()
    before, after = "0008_effect_lanes", "0010_impersonal_terms"
    await migrate_to(empty_url, before)
    await fill(empty_url, json.loads((ROWS / f"{before}.json").read_text()))
    await migrate_to(empty_url, after)
    found = await contents(empty_url, {"search_terms": [{"term": 0, "personal": 0}]})
    terms = {(term, bool(personal)) for term, personal in map(literal_eval, found["search_terms"])}
    expected = json.loads((ROWS / f"{after}.json").read_text())["search_terms"]
    assert terms == {(row["term"], row["personal"]) for row in expected}
    assert {("anna", True), ("a0@example.com", True), ("1001", False), ("sock-1", False)} <= terms


async def test_a_migration_after_the_last_keeps_every_row(database_url: str, tmp_path: Path) -> None:
    await keeps_all(database_url, NAMES[-1], "9999_sample", sample(tmp_path, NULLABLE))


@pytest.mark.parametrize("loss", ["DELETE FROM tracking WHERE number = 'T-1'", "UPDATE orders SET note = ''"])
async def test_a_migration_that_loses_something_is_noticed(database_url: str, tmp_path: Path, loss: str) -> None:
    with pytest.raises(AssertionError):
        await keeps_all(database_url, NAMES[-1], "9999_sample", sample(tmp_path, f'ops.RunSQL("{loss}")'))


def test_there_are_rows_for_the_next_migration() -> None:
    tables: Tables = json.loads((ROWS / f"{NAMES[-1]}.json").read_text(encoding="utf-8"))
    assert len(tables) == 26
    assert all(tables.values())
