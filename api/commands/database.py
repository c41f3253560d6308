"""What commands that change the database by hand have in common."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import typer

from api.settings import Settings
from domain.errors import DomainError
from models.database import connected, migrate

Result = TypeVar("Result")


def run(command: Awaitable[Result]) -> Result:
    """Runs a command against the database of DATABASE_URL; a refusal is one line on stderr and exit code 1."""
    url = Settings().database_url

    async def with_database() -> Result:
        await migrate(url)
        async with connected(url):
            return await command

    try:
        return asyncio.run(with_database())
    except DomainError as refusal:
        typer.echo(refusal.message, err=True)
        raise typer.Exit(1) from refusal
