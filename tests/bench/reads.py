"""One order, and a list of orders with their lines, read over HTTP."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import asyncpg

from tests.bench.contestants import BARE, PRODUCT, STRAWBERRY, Running, Start, product, python_peer
from tests.bench.cores import take_cores
from tests.bench.load import Question, ask, for_seconds, question
from tests.bench.rounds import Figures, Measure, play, report
from tests.bench.shop import LINES, Shop, open_shop, services
from tests.bench.watchers import metrics
from tests.bench.wires import Loop

ONE = "query ($id: ID!) { order(id: $id) { id number status paymentStatus total { amount currencyCode } } }"
LIST = """query ($first: Int!) { orders(first: $first) { nodes {
    number status paymentStatus fulfillmentStatus total { amount currencyCode }
    lines { sku title quantity unitPrice { amount } total { amount currencyCode } }
} } }"""
FIRST = 50
ORDERS = 500
GOALS = {STRAWBERRY: "≥ 8"}
WARM_SECONDS = 1.0
PATHS = {"one order": "/order", f"{FIRST} orders": "/orders"}  # of those who know no GraphQL


async def measure_reads(seconds: float, clients: int, rounds: int) -> bool:
    """Prints requests a second: one order of five fields, and 50 orders with three lines each."""
    cores = take_cores()
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "reads", bell_url, ORDERS)
        newest = await _newest(shop.database_url)
        starts = {
            PRODUCT: product(shop, cores),
            STRAWBERRY: python_peer(shop, cores, "strawberry_app"),
            BARE: python_peer(shop, cores, "bare_http"),
        }
        complete = True
        for what in PATHS:
            contestants = {
                name: _measure(start, shop, name, what, newest, seconds, clients) for name, start in starts.items()
            }
            print(f"\n{what}:")
            complete &= report(await play(rounds, contestants), metrics("requests"), GOALS)
        return complete


async def _newest(database_url: str) -> list[str]:
    """The numbers of the orders in the list."""
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(f"SELECT number FROM orders ORDER BY placed_at DESC, id DESC LIMIT {FIRST}")
    await connection.close()
    return [str(row["number"]) for row in rows]


def _measure(
    start: Start, shop: Shop, name: str, what: str, newest: Sequence[str], seconds: float, clients: int
) -> Measure:
    async def measure() -> Figures:
        with closing(Loop()) as loop:
            async with start(loop) as running:
                questions = (
                    one_order(running, shop, name) if what == "one order" else [_list(running, shop, name, newest)]
                )
                ask(loop, running, clients, for_seconds(WARM_SECONDS, questions), "requests")
                return ask(loop, running, clients, for_seconds(seconds, questions), "requests")

    return measure


def one_order(running: Running, shop: Shop, name: str) -> list[Question]:
    address = running.address.at(PATHS["one order"]) if name == BARE else running.address
    shown = [
        order if name == PRODUCT else {**order, "id": str(key)}
        for key, order in zip(shop.keys, shop.orders, strict=True)
    ]
    return [question(address, shop.token, ONE, {"id": order["id"]}, {"order": order}) for order in shown]


def _list(running: Running, shop: Shop, name: str, newest: Sequence[str]) -> Question:
    address = running.address.at(PATHS[f"{FIRST} orders"]) if name == BARE else running.address
    total = shop.orders[0]["total"]
    line = {
        "sku": "SOCK-MER",
        "title": "Merino socks",
        "quantity": 2,
        "unitPrice": {"amount": "14.90"},
        "total": {**total, "amount": "29.80"},
    }
    order: Mapping[str, Any] = {
        "status": "PENDING",
        "paymentStatus": "PENDING",
        "fulfillmentStatus": "UNFULFILLED",
        "total": total,
        "lines": [line] * LINES,
    }
    nodes = [{"number": number, **order} for number in newest]
    return question(address, shop.token, LIST, {"first": FIRST}, {"orders": {"nodes": nodes}})
