"""Many sockets that watch one order each, alone and beside ten thousand others that nothing happens to."""

import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from api import ids
from api.commands.bench.contestants import (
    PRODUCT,
    STRAWBERRY,
    Start,
    node_peers,
    product,
    python_peer,
)
from api.commands.bench.cores import take_cores
from api.commands.bench.crowd import Crowd
from api.commands.bench.live import ANSWER_SECONDS, Usage, Watchers, metrics, of_orders
from api.commands.bench.rounds import Figures, Measure, play, report
from api.commands.bench.shop import Shop, open_shop, services
from api.commands.bench.wires import Loop

GOALS = {STRAWBERRY: "≥ 5"}
NO_PINGS = {"PING_SECONDS": "86400"}  # which have nothing to do with what an event costs


async def measure_watch(sockets: int, idle: int, seconds: float, rounds: int, at_once: int, in_flight: int) -> bool:
    """Prints events a second, and what an event costs the server. `idle` sockets watch orders that do not change.

    Events are made `at_once` by `at_once`, and `in_flight` of them may be under way.
    """
    cores = take_cores()
    crowded = f"{PRODUCT}, {idle:,} idle"
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "watch", bell_url, sockets)
        with node_peers(shop, cores) as for_node:
            starts = {
                PRODUCT: product(shop, cores, **NO_PINGS),
                STRAWBERRY: python_peer(shop, cores, "strawberry_app"),
                **for_node,
            }
            contestants = {
                name: _measure(shop, start, 0, seconds, at_once, in_flight) for name, start in starts.items()
            }
            if idle:
                contestants[crowded] = _measure(
                    shop, product(shop, cores, **NO_PINGS), idle, seconds, at_once, in_flight
                )
            return report(await play(rounds, contestants), metrics("events"), {**GOALS, crowded: "≤ 1.1"})


def _measure(shop: Shop, start: Start, idle: int, seconds: float, at_once: int, in_flight: int) -> Measure:
    order_ids = [order["id"] for order in shop.orders]

    def request(member: int) -> Mapping[str, Any]:
        return of_orders(order_ids[member] if member < len(order_ids) else str(ids.encode("Order", uuid.uuid4())))

    async def measure() -> Figures:
        with closing(Loop()) as loop:
            async with start(loop) as running:
                watchers = Watchers(running.source, order_ids)
                crowd = Crowd(loop, watchers.hear)
                crowd.open(running.address, len(order_ids) + idle, request, running.token)
                watchers.begin(loop, at_once)
                sent, usage = 0, Usage.of(running.pid)
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    while sent + at_once - watchers.heard <= in_flight:
                        running.source.send([(sent + number) % len(order_ids) for number in range(at_once)])
                        sent += at_once
                    loop.turn(0.05)
                loop.until(lambda: watchers.heard == sent, ANSWER_SECONDS)
                figures = usage.figures(sent, "events")
                watchers.finish()
                return figures

    return measure
