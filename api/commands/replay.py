"""Replays recorded lives of orders through the API, with live subscribers that must miss nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import httpx
import typer

from api.commands.client import ApiError, Client, client_of
from api.commands.lives import Act, Life, Step, new_order, read_lives, step_input, timeline
from api.commands.temporary_server import temporary_server
from api.commands.watching import EventKey, Watcher, end_of_log, events_after, problems_of, quantile
from domain.actors import Scope

DEFAULT_URL = "http://127.0.0.1:8000/graphql"
MOST_PROBLEMS = 20  # after which a replay is given up

_COUNTS = """query ($channel: String!) {
    orderCounts(filter: { channels: [$channel] }) { byStatus { status count } }
}"""
_KNOWN = """query ($channel: String!, $reference: String!) {
    orderByReference(channel: $channel, externalReference: $reference) { number }
}"""


@dataclass(frozen=True, slots=True)
class Options:
    """`speed` is a factor of the recorded rhythm, `None` as fast as it goes. `run` tells replays of a file apart."""

    channel: str = "replay"
    run: str | None = None
    speed: float | None = None
    concurrency: int = 8
    subscribers: int = 3

    def reference(self, order_id: str) -> str:
        return f"{order_id}/{self.run}" if self.run else order_id


class AlreadyReplayed(Exception):
    """The channel has orders of this file and run."""


@dataclass
class Report:
    """What a replay did. `latencies` are seconds from a mutation's answer to its event's arrival, per subscriber."""

    orders: int
    mutations: int
    seconds: float
    events: int
    latencies: list[float]
    reconnects: int
    counts: dict[str, int]
    problems: list[str] = field(default_factory=list)

    def text(self, subscribers: int) -> str:
        median, late = quantile(self.latencies, 0.5), quantile(self.latencies, 0.99)
        statuses = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        lines = [
            f"orders     {self.orders} ({statuses})",
            f"mutations  {self.mutations} in {self.seconds:.1f} s: {self.mutations / self.seconds:.0f}/s",
            f"events     {self.events}, to each of {subscribers} subscribers; {self.reconnects} reconnects",
            f"latency    {median * 1000:.1f} ms median, {late * 1000:.1f} ms p99, from answer to event",
        ]
        if not self.problems:
            return "\n".join([*lines, "All is well: every subscriber saw every event once, in the log's order."])
        return "\n".join([*lines, *(f"PROBLEM    {problem}" for problem in self.problems)])


class Player:
    """Takes the steps, each order's one after the other. `answered` says when each mutation's answer came."""

    def __init__(self, client: Client, lives: Sequence[Life], options: Options) -> None:
        self._client = client
        self._lives = {life.order_id: life for life in lives}
        self._options = options
        self._ids: dict[str, str] = {}
        self.answered: dict[EventKey, float] = {}
        self.problems: list[str] = []

    async def play(self) -> None:
        steps = timeline(self._lives.values())
        slots = asyncio.Semaphore(self._options.concurrency)
        previous: dict[str, asyncio.Task[None]] = {}
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for step in steps:
                if self._options.speed is not None:
                    due = began + (step.at - steps[0].at).total_seconds() / self._options.speed
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                await slots.acquire()
                if len(self.problems) >= MOST_PROBLEMS:
                    self.problems.append("gave up after that many problems")
                    break
                task = group.create_task(self._take(step, previous.get(step.order_id)))
                task.add_done_callback(lambda _: slots.release())
                previous[step.order_id] = task

    async def _take(self, step: Step, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await previous
        life = self._lives[step.order_id]
        if step.act is Act.PLACE:
            given = new_order(life, self._options.channel, self._options.reference(life.order_id))
        elif (order := self._ids.get(life.order_id)) is not None:
            given = step_input(life, step.act, order)
        else:
            return  # the step before it has failed
        try:
            answer = await self._client.mutate(step.act, given, "id number version")
        except (ApiError, httpx.HTTPError) as error:
            self._ids.pop(life.order_id, None)
            self.problems.append(f"{step.act} of {life.order_id}: {error or type(error).__name__}")
            return
        self._ids[life.order_id] = answer["id"]
        self.answered[answer["number"], answer["version"]] = time.monotonic()


async def _counts(client: Client, channel: str) -> dict[str, int]:
    rows = (await client.ask(_COUNTS, {"channel": channel}))["orderCounts"]["byStatus"]
    return {row["status"]: row["count"] for row in rows}


async def replay(client: Client, lives: Sequence[Life], options: Options) -> Report:
    """Replay the lives. Return what came of it.

    Nobody else may change orders of the channel meanwhile: their numbers are compared before and after.
    Raise `AlreadyReplayed` before anything is changed, and `ApiError` and `httpx.HTTPError` if the API fails.
    """
    known = {"channel": options.channel, "reference": options.reference(lives[0].order_id)}
    if (await client.ask(_KNOWN, known))["orderByReference"] is not None:
        raise AlreadyReplayed
    start, before = await end_of_log(client), await _counts(client, options.channel)
    watchers = [Watcher(client, start) for _ in range(options.subscribers)]
    watching = [asyncio.create_task(watcher.run()) for watcher in watchers]
    player = Player(client, lives, options)
    try:
        began = time.monotonic()
        await player.play()
        seconds = time.monotonic() - began
        log, _ = await events_after(client, start)
        problems = player.problems + await problems_of(watchers, watching, log)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    if lost := player.answered.keys() - {event.key for event in log}:
        problems.append(f"{len(lost)} mutations left no event in the log")
    after = await _counts(client, options.channel)
    changed = {status: count - before[status] for status, count in after.items()}
    expected = Counter(life.last_status for life in lives)
    if changed != {status: expected[status] for status in after}:
        problems.append(f"the counts have changed by {changed}, not by {dict(expected)}")
    return Report(
        orders=len(lives),
        mutations=len(player.answered),
        seconds=seconds,
        events=len(log),
        latencies=[
            max(0.0, watcher.arrived[event.cursor] - player.answered[event.key])
            for watcher in watchers
            for event in log
            if event.key in player.answered and event.cursor in watcher.arrived
        ],
        reconnects=sum(watcher.reconnects for watcher in watchers),
        counts=changed,
        problems=problems,
    )


async def _run(lives: Sequence[Life], options: Options, url: str | None, token: str | None) -> Report:
    if url is None and token is None:
        scopes = (Scope.ORDERS_READ, Scope.ORDERS_WRITE, Scope.ORDERS_PLACE, Scope.FULFILLMENT_WRITE)
        async with temporary_server("replay", scopes) as (own_url, own_token):
            return await _run(lives, options, own_url, own_token)
    async with client_of(url or DEFAULT_URL, token or "") as client:
        return await replay(client, lives, options)


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The CSV file.")],
    url: Annotated[
        str | None, typer.Option(help=f"The API of a running server; by default {DEFAULT_URL}.", show_default=False)
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ORDERSTREAM_TOKEN",
            help="A token for it, with orders:read, orders:place, orders:write and fulfillment:write.",
            show_default=False,
        ),
    ] = None,
    channel: Annotated[str, typer.Option(help="The code of the sales channel that gets the orders.")] = "replay",
    run: Annotated[
        str | None, typer.Option(metavar="NAME", help="Tells this replay of the file from others on that server.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="A factor of the real rhythm; by default as fast as it goes.", show_default=False),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many mutations are under way at a time.")] = 8,
    subscribers: Annotated[int, typer.Option(min=0, help="How many subscribers follow over WebSocket.")] = 3,
) -> None:
    """Replay the orders' lives in a CSV file through the API, in the order of their times.

    Placed at order_purchase_timestamp, confirmed at order_approved_at, shipped at order_delivered_carrier_date, or
    cancelled where order_status says canceled or unavailable and the order has not left. Live subscribers follow; at
    the end, what they saw is compared with the event log, and the numbers of orders with the file.

    Without a URL and a token, all of it happens on a server of its own, which is gone afterwards.

    Exit code: 0 if all is well, 1 if something was wrong, 2 if nothing could be replayed at all.
    """
    options = Options(channel=channel, run=run, speed=speed, concurrency=concurrency, subscribers=subscribers)
    try:
        if url is not None and token is None:
            raise ValueError("a URL needs a token: --token or ORDERSTREAM_TOKEN")
        lives = read_lives(file)
        report = asyncio.run(_run(lives, options, url, token))
    except AlreadyReplayed:
        typer.echo(f"This file was replayed into the channel {channel} before: give a new --run NAME.", err=True)
        raise typer.Exit(2) from None
    except (ValueError, OSError, RuntimeError, ApiError, httpx.HTTPError) as error:
        typer.echo(f"{error or type(error).__name__}", err=True)
        raise typer.Exit(2) from error
    typer.echo(report.text(subscribers))
    raise typer.Exit(1 if report.problems else 0)


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(command)

if __name__ == "__main__":
    app(prog_name="scripts/replay")
