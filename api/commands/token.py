"""API tokens from the command line."""

import asyncio
import sys
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Annotated, TypeVar

import typer

from api.settings import Settings
from domain.actors import Scope, system
from domain.errors import DomainError
from domain.tokens import create_token, list_tokens, revoke_token
from models.database import connected, migrate

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True, help="Create, list and revoke API tokens."
)
ACTOR = system("scripts/token")
Result = TypeVar("Result")


def _run(command: Awaitable[Result]) -> Result:
    """Runs a command against the database of DATABASE_URL; a refusal is one line on stderr and exit code 1."""
    url = Settings().database_url

    async def run() -> Result:
        await migrate(url)
        async with connected(url):
            return await command

    try:
        return asyncio.run(run())
    except DomainError as refusal:
        typer.echo(refusal.message, err=True)
        raise typer.Exit(1) from refusal


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Who uses it: shown on the timeline of what it changes.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given several times.")],
    channel: Annotated[
        list[str] | None,
        typer.Option(help="A channel that it is bound to; may be given several times. By default all channels."),
    ] = None,
    service: Annotated[
        str | None, typer.Option(help="The code of the fulfillment service whose token it is.", show_default=False)
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="For how many days it is good; by default for ever.")] = None,
) -> None:
    """Create a token and print it: it cannot be read again."""
    expires_in = timedelta(days=days) if days else None
    _, secret = _run(
        create_token(
            actor=ACTOR, name=name, scopes=scope, channels=channel or (), service=service, expires_in=expires_in
        )
    )
    typer.echo(secret)


@app.command("list")
def list_all() -> None:
    """List the tokens, without their secrets."""
    for token in _run(list_tokens(actor=ACTOR)):
        state = "revoked" if token.revoked_at else f"expires {token.expires_at}" if token.expires_at else "good"
        bound = f"{len(token.channel_ids)} channel(s)" if token.channel_ids else "all channels"
        typer.echo(f"{token.id}  {token.prefix}…  {token.name}  {' '.join(token.scopes)}  {bound}  {state}")


@app.command()
def revoke(token: Annotated[str, typer.Argument(help="The token's id, or the beginning that list shows.")]) -> None:
    """End a token for ever. What is open under it is closed within seconds."""
    typer.echo(f"revoked {_run(revoke_token(actor=ACTOR, prefix_or_id=token.rstrip('…'))).name}")


def spread(arguments: Sequence[str]) -> list[str]:
    """Lets one --scope or --channel be followed by several values, which typer knows only one at a time."""
    result: list[str] = []
    option = None
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in ("--scope", "--channel") else None
        elif option is not None and result[-1] != option:
            result.append(option)
        result.append(argument)
    return result


if __name__ == "__main__":
    app(spread(sys.argv[1:]), prog_name="scripts/token")
