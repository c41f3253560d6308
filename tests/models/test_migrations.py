"""The migrations make the tables that the models declare, on an empty database and for good."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tortoise.migrations.constraints import CheckConstraint
from tortoise.models import Model

from api.commands.migrate import missing_migrations
from api.settings import ROOT
from models.engine.database import config, connected, migrate
from models.engine.file_urls import file_url
from tests.database import run_sql, tables

# The catalogue of each engine, read into the same shapes: another engine is another reader.
Columns = dict[str, tuple[str, bool]]


class Sqlite:
    """What a SQLite database says of itself."""

    async def tables(self) -> set[str]:
        rows = await run_sql("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return {row["name"] for row in rows} - {"tortoise_migrations"}

    async def columns(self, table: str) -> Columns:
        """Type and whether it may be null, by name."""
        rows = await run_sql(f"PRAGMA table_info('{table}')")
        return {row["name"]: (row["type"], not row["notnull"]) for row in rows}

    async def indexes(self, table: str, *, unique: bool) -> set[tuple[str, ...]]:
        """The columns of each index besides the primary key's."""
        rows = await run_sql(f"PRAGMA index_list('{table}')")
        found = set()
        for row in rows:
            if bool(row["unique"]) is unique and row["origin"] != "pk":
                columns = await run_sql(f"PRAGMA index_info('{row['name']}')")
                found.add(tuple(each["name"] for each in columns))
        return found

    async def foreign_keys(self, table: str) -> set[tuple[str, str, str]]:
        """Column, table that it points to, and what happens when that row goes."""
        rows = await run_sql(f"PRAGMA foreign_key_list('{table}')")
        return {(row["from"], row["table"], row["on_delete"]) for row in rows}

    async def checks(self, table: str) -> dict[str, str]:
        [row] = await run_sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table)
        return dict(re.findall(r'CONSTRAINT "?(\w+)"? CHECK \((.*?)\)(?=,|\s*\)|\s*\n)', row["sql"], re.DOTALL))


class Postgres:
    """What a PostgreSQL database says of itself, in the same shapes."""

    async def tables(self) -> set[str]:
        rows = await run_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row["tablename"] for row in rows} - {"tortoise_migrations"}

    async def columns(self, table: str) -> Columns:
        rows = await run_sql(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = $1",
            table,
        )
        return {row["column_name"]: (row["data_type"], row["is_nullable"] == "YES") for row in rows}

    async def indexes(self, table: str, *, unique: bool) -> set[tuple[str, ...]]:
        rows = await run_sql(
            "SELECT array(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)"
            " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place) AS names"
            " FROM pg_index i WHERE i.indrelid = $1::text::regclass AND NOT i.indisprimary AND i.indisunique = $2",
            table,
            unique,
        )
        return {tuple(row["names"]) for row in rows}

    async def foreign_keys(self, table: str) -> set[tuple[str, str, str]]:
        rows = await run_sql(
            "SELECT a.attname::text AS name, c.confrelid::regclass::text AS target, c.confdeltype::text AS act"
            " FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
            " WHERE c.contype = 'f' AND c.conrelid = $1::text::regclass",
            table,
        )
        return {(row["name"], row["target"].strip('"'), {"r": "RESTRICT"}.get(row["act"], row["act"])) for row in rows}

    async def checks(self, table: str) -> dict[str, str]:
        """As they were declared: PostgreSQL gives them back with parentheses of its own."""
        rows = await run_sql(
            "SELECT conname::text AS name, pg_get_constraintdef(oid) AS said FROM pg_constraint"
            " WHERE contype = 'c' AND conrelid = $1::text::regclass",
            table,
        )
        return {row["name"]: re.sub(r"[()]", "", row["said"]).removeprefix("CHECK ") for row in rows}


Catalogue = Sqlite | Postgres


@pytest.fixture
def catalogue(engine: str, database: str) -> Catalogue:
    return Sqlite() if engine == "sqlite" else Postgres()


def columns_of(model: type[Model], names: Any) -> tuple[str, ...]:
    """As the database calls the fields: `order` is kept in `order_id`."""
    return tuple(model._meta.fields_map[name].source_field or name for name in names)


async def test_there_is_a_table_for_each_model_and_no_other(catalogue: Catalogue) -> None:
    assert await catalogue.tables() == {model._meta.db_table for model in tables()}
    assert len(tables()) == 26


async def test_each_column(catalogue: Catalogue) -> None:
    for model in tables():
        found = await catalogue.columns(model._meta.db_table)
        assert set(found) == set(model._meta.db_fields)
        for name, column in model._meta.fields_db_projection.items():
            field = model._meta.fields_map[name]
            if not field.pk:
                assert found[column][1] is field.null, f"{model._meta.db_table}.{column}"


async def test_each_index(catalogue: Catalogue) -> None:
    for model in tables():
        declared = {columns_of(model, getattr(index, "fields", index)) for index in model._meta.indexes}
        found = await catalogue.indexes(model._meta.db_table, unique=False)
        assert found == declared, model._meta.db_table


async def test_each_unique_constraint(catalogue: Catalogue) -> None:
    for model in tables():
        declared = {columns_of(model, names) for names in model._meta.unique_together}
        declared |= {
            columns_of(model, [name])
            for name, field in model._meta.fields_map.items()
            if field.unique and not field.pk and name in model._meta.fields_db_projection
        }
        found = await catalogue.indexes(model._meta.db_table, unique=True)
        assert found == declared, model._meta.db_table


async def test_each_foreign_key(catalogue: Catalogue) -> None:
    """All of them refuse the removal of a row that another one needs."""
    for model in tables():
        declared = set()
        for name in model._meta.fk_fields | model._meta.o2o_fields:
            field = model._meta.fields_map[name]
            related = field.related_model  # type: ignore[attr-defined]
            declared.add((field.source_field, related._meta.db_table, "RESTRICT"))
        assert await catalogue.foreign_keys(model._meta.db_table) == declared, model._meta.db_table


async def test_each_check_constraint(catalogue: Catalogue) -> None:
    seen = 0
    for model in tables():
        declared = {
            each.name: each.check for each in model._meta.constraints or () if isinstance(each, CheckConstraint)
        }
        assert await catalogue.checks(model._meta.db_table) == declared, model._meta.db_table
        seen += len(declared)
    assert seen == 7


async def test_the_models_need_no_other_migration() -> None:
    assert await missing_migrations() == []


SCHEMA = {
    "sqlite": "SELECT type, name, sql FROM sqlite_master ORDER BY name",
    "postgres": "SELECT oid, relname, relnatts FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY oid",
}


async def test_migrating_again_changes_nothing(engine: str, database_url: str) -> None:
    async def everything() -> list[dict[str, Any]]:
        async with connected(database_url):
            return await run_sql(SCHEMA[engine])

    before = await everything()
    await migrate(database_url)
    assert await everything() == before


def migration_names() -> list[str]:
    return sorted(path.stem for path in (ROOT / "models" / "migrations").glob("[0-9]*.py"))


@pytest.mark.slow
async def test_many_processes_that_migrate_at_once_do_it_once(empty_url: str) -> None:
    """All of them succeed, and each migration is noted once."""
    url = empty_url
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api.commands.migrate"),
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url},
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]
    said = [(await process.communicate())[1].decode() for process in processes]
    assert [(process.returncode, text) for process, text in zip(processes, said, strict=True)] == [(0, "")] * 3
    async with connected(url):
        rows = await run_sql("SELECT app, name FROM tortoise_migrations")
        assert [(row["app"], row["name"]) for row in rows] == [("models", name) for name in migration_names()]


@pytest.mark.slow
async def test_a_new_database_is_made_where_there_is_none(tmp_path: Path) -> None:
    url = file_url("sqlite", tmp_path / "new" / "folder" / "orders.sqlite3")
    await migrate(url)
    async with connected(url):
        assert await Sqlite().tables() == {model._meta.db_table for model in tables()}


@pytest.mark.parametrize("url", ["", "orders.sqlite3", "mysql://root@localhost/orders", "sqlite://", "sqlite:"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        config(url)


def test_the_options_of_a_postgres_url() -> None:
    credentials = config("postgres://db.example/orders?sslmode=require&maxsize=3")["connections"]["default"][
        "credentials"
    ]
    assert (credentials["ssl"], int(credentials["maxsize"])) == ("require", 3)
    with pytest.raises(ValueError, match="no option pool_size"):
        config("postgres://db.example/orders?pool_size=3")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_postgres_url(scheme: str) -> None:
    connection = config(f"{scheme}://me:secret@db.example:5433/orders")["connections"]["default"]
    assert connection["engine"] == "models.engine.postgres"
    credentials = {key: connection["credentials"][key] for key in ("host", "port", "user", "password", "database")}
    assert credentials == {
        "host": "db.example",
        "port": 5433,
        "user": "me",
        "password": "secret",
        "database": "orders",
    }
