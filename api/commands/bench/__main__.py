"""What the server does in a second on this machine. Absolute numbers are the machine's; compare those of one run."""

import asyncio

import typer

from api.commands.bench.workers import measure_workers

app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__)


@app.callback()
def _several() -> None:
    """Keeps the name of a subcommand on the command line while there is only one."""


@app.command()
def workers(
    seconds: float = typer.Option(10.0, min=1, help="How long each number of workers is put under load."),
    clients: int = typer.Option(16, min=1, help="How many connections change orders at the same time."),
) -> None:
    """Commits a second with 1, 2 and 4 workers on PostgreSQL, and how long an event takes from its commit to a socket.

    Server, database, clients and subscriber share this machine.
    """
    asyncio.run(measure_workers(seconds, clients))


if __name__ == "__main__":
    app(prog_name="scripts/bench")
