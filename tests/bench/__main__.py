"""What the server does in a second on this machine. Absolute numbers are the machine's; compare those of one run."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import typer

from tests.bench.fanout import measure_fanout
from tests.bench.latency import measure_latency
from tests.bench.memory import measure_memory
from tests.bench.mutations import measure_mutations
from tests.bench.notes import measure_notes
from tests.bench.reads import measure_reads
from tests.bench.watch import measure_watch
from tests.bench.watchers import Pace
from tests.bench.workers import measure_workers

app = typer.Typer(add_completion=False, rich_markup_mode=None, help=__doc__)

SECONDS = typer.Option(5.0, min=1, help="How long each contestant is measured in each round.")
CLIENTS = typer.Option(16, min=1, help="How many clients ask, each one question after the other.")
ROUNDS = typer.Option(3, min=1, help="How often each contestant is measured.")


def _run(measurement: Coroutine[Any, Any, bool]) -> None:
    """Ends the command with 1 where a contestant failed, or where nothing can be measured here."""
    try:
        complete = asyncio.run(measurement)
    except RuntimeError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error
    if not complete:
        raise typer.Exit(1)


@app.command()
def workers(
    seconds: float = typer.Option(10.0, min=1, help="How long each number of workers is put under load."),
    clients: int = typer.Option(16, min=1, help="How many connections change orders at the same time."),
) -> None:
    """Commits a second with 1, 2 and 4 workers on PostgreSQL, and how long an event takes from its commit to a socket.

    Server, database, clients and subscriber share this machine.
    """
    asyncio.run(measure_workers(seconds, clients))


@app.command()
def notes(
    count: int = typer.Option(100, min=1, max=100, help="How many delivery notes are printed."),
    seconds: float = typer.Option(5.0, min=1, help="How long latencies are measured while nothing is printed."),
) -> None:
    """Delivery notes a second beside WeasyPrint alone, and the latency of a query and of an event while they are made.

    Server, rendering processes and client share this machine.
    """
    asyncio.run(measure_notes(count, seconds))


@app.command()
def fanout(
    sockets: int = typer.Option(500, min=1, help="How many sockets have the same subscription."),
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
    at_once: int = typer.Option(4, min=1, help="How many events are committed, or posted, at once."),
    in_flight: int = typer.Option(8, min=1, help="How many events may be on their way at the same time."),
) -> None:
    """Deliveries a second of events that everybody gets, beside Strawberry, two servers on Node and the limit."""
    _run(measure_fanout(sockets, rounds, Pace(seconds, at_once, in_flight)))


@app.command()
def watch(
    sockets: int = typer.Option(500, min=1, max=2000, help="How many sockets watch an order of their own."),
    idle: int = typer.Option(10_000, min=0, help="How many more watch an order that does not change; 0 for none."),
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
    trickle: bool = typer.Option(False, "--trickle", help="Some events at a time, not one of each order at once."),
    at_once: int = typer.Option(20, min=1, help="In a trickle: how many events are committed, or posted, at once."),
    in_flight: int = typer.Option(80, min=1, help="In a trickle: how many may be on their way at the same time."),
) -> None:
    """Events a second that one socket each is told of, beside Strawberry and two servers on Node."""
    _run(measure_watch(sockets, idle, rounds, Pace(seconds, at_once, in_flight), bursts=not trickle))


@app.command()
def memory(
    sockets: int = typer.Option(10_000, min=100, help="How many sockets are opened, with a subscription each."),
    rounds: int = ROUNDS,
) -> None:
    """Memory per subscribed socket, beside Strawberry, two servers on Node and a socket of uvicorn's alone."""
    _run(measure_memory(sockets, rounds))


@app.command()
def latency(
    sockets: int = typer.Option(1000, min=1, help="How many sockets have the same subscription."),
    clients: int = typer.Option(4, min=1, help="How many clients read one order after the other on the busy server."),
    seconds: float = SECONDS,
    rounds: int = ROUNDS,
) -> None:
    """Time from a mutation's answer until all sockets have its event, quiet and busy, beside plain Strawberry."""
    _run(measure_latency(sockets, clients, seconds, rounds))


@app.command()
def mutations(
    orders: int = typer.Option(2000, min=1, help="How many orders each contestant confirms in each round."),
    clients: int = CLIENTS,
    rounds: int = ROUNDS,
) -> None:
    """Orders confirmed a second on PostgreSQL, beside the same SQL by hand."""
    _run(measure_mutations(orders, clients, rounds))


@app.command()
def reads(seconds: float = SECONDS, clients: int = CLIENTS, rounds: int = ROUNDS) -> None:
    """Requests a second for one order and for a list on PostgreSQL, beside Strawberry with Tortoise and SQL by hand."""
    _run(measure_reads(seconds, clients, rounds))


if __name__ == "__main__":
    app(prog_name="scripts/bench")
