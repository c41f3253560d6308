"""Many sockets that watch one order each, alone and beside ten thousand others that nothing happens to."""

import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from api import ids
from api.commands.bench.contestants import BARE, PRODUCT, STRAWBERRY, Start, live_contestants
from api.commands.bench.cores import take_cores
from api.commands.bench.crowd import Crowd
from api.commands.bench.live import Pace, Usage, Watchers, drive, metrics, of_orders
from api.commands.bench.rounds import Figures, Measure, play, report
from api.commands.bench.shop import Shop, open_shop, services
from api.commands.bench.wires import Loop

GOALS = {STRAWBERRY: "≥ 5"}
NO_PINGS = {"PING_SECONDS": "86400"}  # which have nothing to do with what an event costs


async def measure_watch(sockets: int, idle: int, rounds: int, pace: Pace) -> bool:
    """Prints events a second, and what an event costs the server. `idle` sockets watch orders that do not change."""
    cores = take_cores()
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "watch", bell_url, sockets)
        with live_contestants(shop, cores, **NO_PINGS) as starts:
            del starts[BARE]  # it tells everybody everything
            contestants = {name: _measure(shop, start, 0, pace) for name, start in starts.items()}
            crowded = f"{PRODUCT}, {idle:,} idle"
            if idle:
                contestants[crowded] = _measure(shop, starts[PRODUCT], idle, pace)
            return report(await play(rounds, contestants), metrics("events"), {**GOALS, crowded: "≤ 1.1"})


def _measure(shop: Shop, start: Start, idle: int, pace: Pace) -> Measure:
    order_ids = [order["id"] for order in shop.orders]

    def request(member: int) -> Mapping[str, Any]:
        return of_orders(order_ids[member] if member < len(order_ids) else str(ids.encode("Order", uuid.uuid4())))

    async def measure() -> Figures:
        with closing(Loop()) as loop:
            async with start(loop) as running:
                watchers = Watchers(running.source, order_ids)
                crowd = Crowd(loop, watchers.hear)
                crowd.open(running.address, len(order_ids) + idle, request, running.token)
                watchers.begin(loop, pace.at_once)
                usage = Usage.of(running.pid)
                events = drive(loop, running.source, len(order_ids), pace, lambda: watchers.heard)
                figures = usage.figures(events, "events")
                watchers.finish()
                return figures

    return measure
