"""Orders confirmed over HTTP."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Any

import asyncpg

from tests.bench.contestants import BARE, PRODUCT, Start, product, python_peer
from tests.bench.cores import take_cores
from tests.bench.load import ask, question
from tests.bench.rounds import Figures, Measure, play, report
from tests.bench.shop import Shop, open_shop, services
from tests.bench.watchers import metrics
from tests.bench.wires import Disagreement, Loop
from tests.services import create_database

CONFIRM = """mutation ($input: ConfirmOrderInput!) {
    confirmOrder(input: $input) { order { id number status version } userErrors { code message } }
}"""
COUNT = """
    SELECT COUNT(DISTINCT o.id) FROM orders o JOIN order_events e ON e.order_id = o.id
    WHERE o.status = 'CONFIRMED' AND o.version = 2 AND e.type = 'ORDER_CONFIRMED' AND e.order_version = 2
"""
WARM = 100  # orders that are confirmed before it is measured
GOALS = {BARE: "≥ 0.6"}


async def measure_mutations(orders: int, clients: int, rounds: int) -> bool:
    """Prints how many orders a second are confirmed, by so many clients, until all of them are."""
    cores = take_cores()
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "mutations", bell_url, orders + WARM)
        copies = count()

        def measure(start: Callable[[Shop], Start], path: str) -> Measure:
            async def run() -> Figures:
                url = await create_database(postgres.url(), f"mutations_{next(copies)}", template="mutations")
                return await _measure(replace(shop, database_url=url), start, path, clients)

            return run

        contestants = {
            PRODUCT: measure(lambda each: product(each, cores), "/graphql"),
            BARE: measure(lambda each: python_peer(each, cores, "bare_http"), "/confirm"),
        }
        return report(await play(rounds, contestants), metrics("orders"), GOALS)


async def _measure(shop: Shop, start: Callable[[Shop], Start], path: str, clients: int) -> Figures:
    with closing(Loop()) as loop:
        async with start(shop)(loop) as running:
            address = running.address.at(path)

            def confirm(number: int) -> Any:
                order_id = shop.orders[number]["id"] if path == "/graphql" else str(shop.keys[number])
                shown = {"id": order_id, "number": shop.orders[number]["number"], "status": "CONFIRMED", "version": 2}
                answer = {"confirmOrder": {"order": shown, "userErrors": []}}
                return question(address, shop.token, CONFIRM, {"input": {"orderId": order_id}}, answer)

            questions = [confirm(number) for number in range(len(shop.orders))]
            ask(loop, running, clients, iter(questions[:WARM]), "orders")
            figures = ask(loop, running, clients, iter(questions[WARM:]), "orders")
    connection = await asyncpg.connect(shop.database_url)
    confirmed = await connection.fetchval(COUNT)
    await connection.close()
    if confirmed != len(shop.orders):
        raise Disagreement(f"{confirmed} of {len(shop.orders)} orders are confirmed")
    return figures
