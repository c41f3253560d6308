"""Delivery notes a second, and whether anybody else notices that they are being printed."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from api.commands.client import Client, client_of
from api.commands.delivery_note import sample
from api.commands.temporary_server import temporary_server
from api.commands.watching import end_of_log, quantile
from api.settings import ROOT
from domain.actors import Scope
from effects.delivery_notes.fonts import FILE_NAME, write_configuration
from effects.delivery_notes.settings import load
from effects.delivery_notes.template import write_html

POSITIONS: Final = 3  # of each note
PAUSE_SECONDS: Final = 0.01  # between one answer and the next question, and between one event and the next change
ORDER: Final = "query ($id: ID!) { order(id: $id) { number status paymentStatus total { amount } customer { name } } }"
EVENTS: Final = "subscription ($after: String) { orderEvents(after: $after, filter: { types: [NOTE_ADDED] }) { id } }"
PRINT: Final = """mutation ($input: CreateDeliveryNotesInput!) {
    createDeliveryNotes(input: $input) { url results { userErrors { message } } userErrors { message } }
}"""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds: of a query, and from sending a change to the moment at which a subscriber has its event."""

    query: list[float] = field(default_factory=list)
    event: list[float] = field(default_factory=list)


async def measure_notes(count: int, seconds: float) -> None:
    """Prints how many notes a second there are, and the latencies without and with printing. `count` is at most 100."""
    bare = await asyncio.to_thread(_bare, count)
    async with temporary_server("bench", list(Scope)) as (url, token), client_of(url, token) as client:
        watched = (await _place(client))["id"]
        await _print(client, [await _ready(client)])  # the processes run now
        fulfillments = [await _ready(client) for _ in range(count)]
        async with _watching(client, watched) as idle:
            await asyncio.sleep(seconds)
        async with _watching(client, watched) as busy:
            start = time.monotonic()
            await _print(client, fulfillments)
            elapsed = time.monotonic() - start
    print(
        f"notes a second: {count / elapsed:.1f} by createDeliveryNotes, {bare:.1f} by WeasyPrint alone in one process"
    )
    print(f"ratio: {count / elapsed / bare:.2f}")
    print("                query, ms: median    p99   change → event, ms: median    p99")
    for name, latencies in (("idle", idle), ("printing", busy)):
        query, event = latencies.query, latencies.event
        print(
            f"{name:15} {quantile(query, 0.5):17.1f} {quantile(query, 0.99):6.1f}"
            f" {quantile(event, 0.5):27.1f} {quantile(event, 0.99):6.1f}"
        )


async def _place(client: Client) -> dict[str, Any]:
    line = {"title": "Merino socks", "sku": "SOCK-MER", "unitPrice": "14.90", "quantity": 2, "weightGrams": 80}
    address = {"name": "Aline Käser", "address1": "Spalenberg 12", "postalCode": "4051", "city": "Basel"}
    new = {"channel": "web", "currency": "CHF", "lines": [line] * POSITIONS, "shippingAddress": address}
    return await client.mutate("placeOrder", new, "id")


async def _ready(client: Client) -> str:
    """The id of the fulfillment of a new order."""
    order = await _place(client)
    await client.mutate("confirmOrder", {"orderId": order["id"]}, "id")
    [fulfillment] = (await client.mutate("markReadyToShip", {"orderId": order["id"]}, "fulfillments { id }"))[
        "fulfillments"
    ]
    key: str = fulfillment["id"]
    return key


async def _print(client: Client, fulfillments: list[str]) -> None:
    payload = (await client.ask(PRINT, {"input": {"fulfillmentIds": fulfillments}}))["createDeliveryNotes"]
    errors = [error["message"] for each in (payload, *payload["results"]) for error in each["userErrors"]]
    if errors:
        raise RuntimeError(errors[0])


@asynccontextmanager
async def _watching(client: Client, order_id: str) -> AsyncIterator[Latencies]:
    """Asks for an order and changes it, over and over while the block runs."""
    latencies, over = Latencies(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_ask(client, order_id, latencies.query, over))
        tasks.create_task(_change(client, order_id, latencies.event, over))
        yield latencies
        over.set()


async def _ask(client: Client, order_id: str, latencies: list[float], over: asyncio.Event) -> None:
    while not over.is_set():
        start = time.perf_counter()
        await client.ask(ORDER, {"id": order_id})
        latencies.append(1000 * (time.perf_counter() - start))
        await asyncio.sleep(PAUSE_SECONDS)


async def _change(client: Client, order_id: str, latencies: list[float], over: asyncio.Event) -> None:
    after = await end_of_log(client)
    async with aclosing(client.follow(EVENTS, {"after": after})) as events:

        async def hear(start: float) -> None:
            await anext(events)
            latencies.append(1000 * (time.perf_counter() - start))

        while not over.is_set():
            start = time.perf_counter()
            await asyncio.gather(hear(start), client.mutate("addOrderNote", {"orderId": order_id, "note": "x"}, "id"))
            await asyncio.sleep(PAUSE_SECONDS)


def _bare(count: int) -> float:
    """Notes a second of WeasyPrint itself: the same page and fonts, in one process that does nothing else."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_write_bare, args=(theirs, count))
    process.start()
    speed: float = ours.recv()
    process.join()
    return speed


def _write_bare(pipe: Any, count: int) -> None:
    with TemporaryDirectory() as folder:
        write_configuration(Path(folder))
        os.environ["FONTCONFIG_FILE"] = str(Path(folder, FILE_NAME))
        import weasyprint

        merchant = load(None)
        document = sample(merchant, positions=POSITIONS)
        html = write_html(document, merchant.presentation(document.channel_code))
        css = (ROOT / "effects" / "delivery_notes" / "default" / "style.css").read_text(encoding="utf-8")

        def write() -> None:
            weasyprint.HTML(string=html).write_pdf(stylesheets=[weasyprint.CSS(string=css)])

        write()
        start = time.monotonic()
        for _ in range(count):
            write()
        pipe.send(count / (time.monotonic() - start))
