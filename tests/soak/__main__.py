"""The server under load and faults, and whether anything was lost: `scripts/soak`."""

import asyncio
import random
from typing import Annotated

import asyncpg
import httpx
import typer

from api.commands.client import ApiError
from tests.soak.faults import Fault
from tests.soak.running import Bell, Options, soak


def command(
    seconds: Annotated[
        float, typer.Option(min=5, help="For how long there is load, or longer, until each fault was there.")
    ] = 60.0,
    workers: Annotated[int, typer.Option(min=2, help="How many processes serve.")] = 4,
    subscribers: Annotated[int, typer.Option(min=1, help="How many follow, by WebSocket and by SSE.")] = 200,
    rate: Annotated[float, typer.Option(min=0.1, help="How many mutations are sent in a second.")] = 12.0,
    bell: Annotated[Bell, typer.Option(help="What announces events to other processes.")] = Bell.REDIS,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="An empty PostgreSQL database to be used instead of one of its own. Its server is not disturbed.",
            show_default=False,
        ),
    ] = None,
    broadcast_url: Annotated[
        str | None,
        typer.Option(help="A Redis or Valkey instead of one of its own, which is not disturbed.", show_default=False),
    ] = None,
    fault: Annotated[
        list[Fault] | None,
        typer.Option(
            metavar="NAME",
            help="A fault to be injected; may be given several times. By default all that are possible: "
            + ", ".join(Fault),
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Repeats the choices of another run, as far as time lets it.", show_default=False)
    ] = None,
) -> None:
    """Run the server as in production, on PostgreSQL and Valkey, under load and under faults; nothing may be lost.

    Workers are killed and replaced, PostgreSQL and Valkey restarted, killed and silenced, sockets cut, readers stalled.
    At the end, the database is compared with every answer that was given, and with all that each subscriber saw.

    Exit code: 0 if all is well, 1 if something was wrong, 2 if it could not begin.
    """
    options = Options(
        seconds=seconds,
        workers=workers,
        subscribers=subscribers,
        rate=rate,
        bell=bell,
        database_url=database_url,
        broadcast_url=broadcast_url,
        faults=tuple(fault or ()),
        seed=random.randrange(10**6) if seed is None else seed,
    )
    try:
        report = asyncio.run(soak(options, lambda text: typer.echo(text, err=True)))
    except (ValueError, OSError, RuntimeError, ApiError, httpx.HTTPError, asyncpg.PostgresError) as error:
        typer.echo(f"{error or type(error).__name__}", err=True)
        raise typer.Exit(2) from error
    typer.echo(report.text())
    raise typer.Exit(1 if report.problems else 0)


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(command)

if __name__ == "__main__":
    app(prog_name="scripts/soak")
