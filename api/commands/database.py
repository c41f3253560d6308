"""What commands that open the database have in common."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer

from api.commands.environment import read_settings
from domain.errors import DomainError
from models.engine.database import compare_with, connected, migrate
from models.engine.errors import DatabaseUnavailable, StorageFailure, WrongVersion

Result = TypeVar("Result")


def run(command: Awaitable[Result]) -> Result:
    """Run a command against the database of DATABASE_URL. A refusal is one line on stderr and exit code 1."""
    url = read_settings().database_url

    async def with_database() -> Result:
        await migrate(url)
        async with connected(url):
            return await command

    with one_sentence():
        return asyncio.run(with_database())


@contextmanager
def one_sentence() -> Iterator[None]:
    """End the command with one line on stderr and exit code 1 if the database cannot be used, or refuses."""
    try:
        yield
    except (DatabaseUnavailable, WrongVersion, DomainError) as error:
        typer.echo(describe(error), err=True)
        raise typer.Exit(1) from error


def describe(error: DatabaseUnavailable | WrongVersion | DomainError) -> str:
    """Return the sentence for people."""
    if isinstance(error, DomainError):
        return error.message
    is_outage = isinstance(error, DatabaseUnavailable) and not isinstance(error, StorageFailure)
    return f"The database cannot be reached: {error}" if is_outage else str(error)


def problem_with(url: str) -> str | None:
    """Return why this version must not serve this database; None if it may, or if the database cannot be reached."""
    try:
        versions = asyncio.run(compare_with(url))
        if versions is None:
            return "There is no database: run scripts/migrate first."
        versions.require_equal()
    except (StorageFailure, WrongVersion) as error:
        return str(error)
    except DatabaseUnavailable:
        pass  # it is waited for: /readyz tells
    return None
