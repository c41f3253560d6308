"""Brings the database's tables up to date."""

import asyncio
import sys

import typer
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

from api.settings import Settings
from models.database import TORTOISE_ORM, migrate


async def missing_migrations() -> list[str]:
    """The names of the migrations that the models would still need."""
    async with TortoiseContext() as context:
        await context.init(config=TORTOISE_ORM)
        assert context.apps is not None
        detector = MigrationAutodetector(context.apps, TORTOISE_ORM["apps"])
        return [writer.name for writer in await detector.changes()]


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    check: bool = typer.Option(
        False, "--check", help="Touch no database; exit with 1 where the models lack a migration."
    ),
) -> None:
    """Apply the migrations that the database of DATABASE_URL lacks."""
    if not check:
        asyncio.run(migrate(Settings().database_url))
    elif missing := asyncio.run(missing_migrations()):
        sys.exit(f"The models have changed: write a migration ({', '.join(missing)}), see the README.")


if __name__ == "__main__":
    app(prog_name="scripts/migrate")
