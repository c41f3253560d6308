"""API tokens from the command line."""

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import typer

from api.commands.database import run
from domain.actors import Scope, system
from domain.tokens import (
    DEFAULT_GRACE,
    TokenState,
    create_token,
    created_tokens,
    find_token,
    list_tokens,
    revoke_token,
    rotate_token,
    scopes_of,
    state_of,
)
from models import ApiToken

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Create, list, rotate and revoke API tokens.",
)
ACTOR = system("scripts/token")

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration_of(text: str) -> timedelta:
    """Return the duration that is written as `90d`, `12h`, `30m`, `45s` or `0`. Raise `BadParameter`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])|0", text, re.ASCII)
    if found is None:
        raise typer.BadParameter("give a number and one of d, h, m, s, such as 90d")
    return timedelta() if found[1] is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment_of(text: str) -> datetime:
    """Return the moment after a duration, or at an ISO date or time (UTC without a zone). Raise `BadParameter`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC) + duration_of(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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
    expires: Annotated[
        datetime | None,
        typer.Option(
            parser=moment_of,
            metavar="90d|DATE",
            help="When it ends: after 90d, 12h, 30m or 45s, or at a date or time in ISO 8601 (UTC). By default never.",
        ),
    ] = None,
    registered_only: Annotated[
        bool, typer.Option("--registered-only", help="Bind it to registered documents (scripts/documents).")
    ] = False,
) -> None:
    """Create a token and print it: it cannot be read again."""
    _, secret = run(
        create_token(
            actor=ACTOR,
            name=name,
            scopes=scope,
            channels=channel or (),
            service=service,
            expires_at=expires,
            registered_only=registered_only,
        )
    )
    typer.echo(secret)


@app.command("list")
def list_all() -> None:
    """List the tokens, without their secrets."""
    for token in run(list_tokens(actor=ACTOR)):
        bound = f"{len(token.channel_ids)} channel(s)" if token.channel_ids else "all channels"
        used = f"last used {_time(token.last_used_at)}" if token.last_used_at else "never used"
        documents = ("registered documents only",) if token.registered_only else ()
        fields = (f"{token.prefix}…", token.name, " ".join(scopes_of(token)), bound, *documents, used, _state(token))
        typer.echo(f"{token.id}  {'  '.join(fields)}")


def _state(token: ApiToken) -> str:
    if token.revoked_at is not None:
        return f"revoked {_time(token.revoked_at)}" + (f" by {token.revoked_by}" if token.revoked_by else "")
    if token.expires_at is not None:
        return f"{'expired' if state_of(token) is TokenState.EXPIRED else 'expires'} {_time(token.expires_at)}"
    return "good"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


_TOKEN = typer.Argument(help="The token's id, or the beginning that list shows.", show_default=False)


@app.command()
def rotate(
    token: Annotated[str, _TOKEN],
    grace: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration_of,
            metavar="1h",
            help="For how long the secret that it had is good besides: 7d, 1h, 30m, 45s, or 0. By default 1h.",
        ),
    ] = None,
) -> None:
    """Give a token another secret and print that: it cannot be read again. The token stays the same."""

    async def command() -> str:
        _, secret = await rotate_token(
            actor=ACTOR, token_id=await _key(token), grace=DEFAULT_GRACE if grace is None else grace
        )
        return secret

    typer.echo(run(command()))


@app.command()
def revoke(
    token: Annotated[str, _TOKEN],
    with_created: Annotated[
        bool, typer.Option("--with-created", help="End the tokens that it has created, too, and those of these.")
    ] = False,
) -> None:
    """End a token for ever. What is open under it is closed within seconds."""

    async def command() -> tuple[ApiToken, list[ApiToken]]:
        ended = await revoke_token(actor=ACTOR, token_id=await _key(token), with_created=with_created)
        return ended, await created_tokens(actor=ACTOR, token_id=ended.id)

    ended, created = run(command())
    typer.echo(f"revoked {ended.name}")
    for each in created:
        typer.echo(f"  which has created {each.name} ({each.prefix}…, {_state(each)})")
    if any(state_of(each) is TokenState.ACTIVE for each in created):
        typer.echo("revoke it with --with-created to end these, too")


async def _key(token: str) -> UUID:
    # list ends a beginning with an ellipsis, which is several other characters if the locale is not of UTF-8.
    return await find_token(actor=ACTOR, prefix_or_id=token.encode("ascii", "ignore").decode())


def spread(arguments: Sequence[str]) -> list[str]:
    """Repeat --scope and --channel before each of their values, because typer knows one value at a time."""
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
