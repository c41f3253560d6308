"""Brings the database's tables up to date."""

import asyncio
import sys

import typer
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

from api.commands.database import one_sentence
from api.commands.environment import read_settings
from models.engine.database import TORTOISE_ORM, compare_with, migrate
from models.engine.errors import DatabaseUnavailable, StorageFailure, WrongVersion


async def missing_migrations() -> list[str]:
    """Return the names of the migrations that the models still need."""
    async with TortoiseContext() as context:
        await context.init(config=TORTOISE_ORM)
        assert context.apps is not None
        detector = MigrationAutodetector(context.apps, TORTOISE_ORM["apps"])
        return [writer.name for writer in await detector.changes()]


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    check: bool = typer.Option(
        False,
        "--check",
        help="Change nothing; exit with 1 if the models lack a migration, or if the database lacks one or has one that"
        " this version does not know. Without a database, look at the models alone.",
    ),
) -> None:
    """Apply the migrations that the database of DATABASE_URL lacks."""
    url = read_settings().database_url
    if check:
        if missing := asyncio.run(missing_migrations()):
            sys.exit(f"The models have changed: write a migration ({', '.join(missing)}), see docs/contributing.md.")
        _check_database(url)
        return
    with one_sentence():
        applied = asyncio.run(migrate(url))
    print(f"Applied {', '.join(applied)}." if applied else "Nothing to do: the database is up to date.")


def _check_database(url: str) -> None:
    try:
        versions = asyncio.run(compare_with(url))
        if versions is None:
            print("There is no database yet: only the models were checked.")
        else:
            versions.require_equal()
    except (WrongVersion, StorageFailure) as error:
        sys.exit(str(error))
    except DatabaseUnavailable as error:
        print(f"The database cannot be reached, only the models were checked: {error}")


if __name__ == "__main__":
    app(prog_name="scripts/migrate")
