"""Commits a second with several workers, and the way of an event from its commit to a socket.

PostgreSQL notes the moment of each commit (`track_commit_timestamp`), and a subscriber in a process of its own the
moment at which it has each event: the same clock for both, and nothing of the server in between.
"""

import asyncio
import math
import multiprocessing
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson

from api.commands.client import client_of
from api.commands.temporary_server import server_process
from api.commands.watching import end_of_log, quantile
from api.schema import ids
from tests.bench.shop import Shop, open_shop
from tests.services import PostgresServer, postgres_server, valkey_server

ORDERS = 400
QUIET_PER_SECOND = 20  # changes, where latency is measured on a server that has time
BELLS = ("redis", "postgres")
WORKERS = (1, 2, 4)
NOTES = "mutation ($input: AddOrderNoteInput!) { addOrderNote(input: $input) { userErrors { code } } }"
LIVE = "subscription ($after: String!) { orderEvents(after: $after) { id } }"


@dataclass(frozen=True, slots=True)
class Figures:
    commits_per_second: float
    busy: list[float]
    quiet: list[float]


async def measure_workers(seconds: float, clients: int) -> None:
    """Prints one row for each bell and number of workers."""
    print("bell      workers  commits/s   commit → socket, ms: quiet median    p99   busy median    p99")
    async with postgres_server(durable=True) as postgres, valkey_server() as valkey:
        await _note_commits(postgres)
        for bell in BELLS:
            for workers in WORKERS:
                shop = await open_shop(postgres, f"{bell}_{workers}", valkey.url, ORDERS)
                bell_url = shop.bell_url if bell == "redis" else shop.database_url
                figures = await _measure(shop, workers, bell_url, seconds, clients)
                print(f"{bell:9} {workers:7} {figures.commits_per_second:10.0f} {_row(figures)}", flush=True)


def _row(figures: Figures) -> str:
    quiet, busy = figures.quiet, figures.busy
    return (
        f"{quantile(quiet, 0.5):36.1f} {quantile(quiet, 0.99):6.1f}"
        f" {quantile(busy, 0.5):13.1f} {quantile(busy, 0.99):6.1f}"
    )


async def _note_commits(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url())
    await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    await connection.close()
    await postgres.restart()


async def _measure(shop: Shop, workers: int, bell_url: str, seconds: float, clients: int) -> Figures:
    arguments = ("--workers", str(workers))
    environment = {"BROADCAST_URL": bell_url, "LOG_LEVEL": "warning"}
    order_ids = [order["id"] for order in shop.orders]
    async with server_process(shop.database_url, *arguments, environment=environment) as (url, _):
        async with client_of(url, shop.token) as client:
            after = await end_of_log(client)
        async with _subscriber(url, shop.token, after) as seen_until:
            await _change(url, shop.token, order_ids, times=1)
            await seen_until(1)  # it follows the log by now
            shares = [order_ids[number::clients] for number in range(clients)]
            quiet = await _change(url, shop.token, order_ids, seconds=seconds / 2, pause=1 / QUIET_PER_SECOND)
            start = time.monotonic()
            busy = sum(await asyncio.gather(*(_change(url, shop.token, share, seconds=seconds) for share in shares)))
            elapsed = time.monotonic() - start
            seen = await seen_until(1 + quiet + busy)
    latencies = (await _latencies(shop, seen))[1:]
    return Figures(busy / elapsed, busy=latencies[quiet:], quiet=latencies[:quiet])


async def _change(
    url: str, token: str, order_ids: list[str], *, seconds: float = math.inf, times: float = math.inf, pause: float = 0
) -> int:
    """One change after the other on one connection, for so long or so often: how many were made."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    done = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and done < times:
        given = {"orderId": order_ids[done % len(order_ids)], "note": "x"}
        body = orjson.dumps({"query": NOTES, "variables": {"input": given}})
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = await _answer(reader)
        if answer.get("errors") or answer["data"]["addOrderNote"]["userErrors"]:
            raise RuntimeError(f"a change was not made: {answer}")
        done += 1
        if pause:
            await asyncio.sleep(pause)
    writer.close()
    return done


async def _answer(reader: asyncio.StreamReader) -> Any:
    length = 0
    while (line := await reader.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return orjson.loads(await reader.readexactly(length))


@asynccontextmanager
async def _subscriber(url: str, token: str, after: str) -> AsyncIterator[Any]:
    """A subscriber in a process of its own. What is given waits for so many events: their ids and when each came."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_subscribe, args=(theirs, url, token, after))
    process.start()

    async def seen_until(count: int) -> list[tuple[str, float]]:
        ours.send(count)
        seen: list[tuple[str, float]] = await asyncio.to_thread(ours.recv)
        return seen

    try:
        yield seen_until
    finally:
        process.kill()
        process.join()


def _subscribe(pipe: Connection, url: str, token: str, after: str) -> None:
    asyncio.run(_take_note(pipe, url, token, after))


async def _take_note(pipe: Connection, url: str, token: str, after: str) -> None:
    seen: list[tuple[str, float]] = []
    following = asyncio.create_task(_follow(seen, url, token, after))
    while not following.done():
        count = await asyncio.to_thread(pipe.recv)
        while len(seen) < count and not following.done():  # noqa: ASYNC110 - a look now and then disturbs least
            await asyncio.sleep(0.005)
        pipe.send(seen)
    following.result()


async def _follow(seen: list[tuple[str, float]], url: str, token: str, after: str) -> None:
    async with client_of(url, token) as client, aclosing(client.follow(LIVE, {"after": after})) as events:
        async for event in events:
            seen.append((event["orderEvents"]["id"], time.time()))  # noqa: PERF401 - each with its own time


async def _latencies(shop: Shop, seen: list[tuple[str, float]]) -> list[float]:
    """Milliseconds from the commit of each event to the moment it was seen, in the order of the events."""
    connection = await asyncpg.connect(shop.database_url)
    rows = await connection.fetch("SELECT id, pg_xact_commit_timestamp(xmin) AS committed FROM order_events")
    await connection.close()
    committed = {row["id"]: row["committed"].timestamp() for row in rows}
    return [1000 * (at - committed[ids.parse_position(ids.split(node_id)[1])]) for node_id, at in seen]
