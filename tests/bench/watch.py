"""Many sockets that watch one order each, alone and beside ten thousand others that nothing happens to.

In bursts, as an import or an action on many orders makes them, each order has an event at the same moment, and the time
counts from there until all are told: what makes the events, in one transaction, is not measured. In a trickle, some
events are made at a time, all the time: then PostgreSQL and the process that commits are slower than the server, and
what an event costs it says more than the clock.
"""

import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from api.schema import ids
from tests.bench.contestants import BARE, PRODUCT, STRAWBERRY, Start, live_contestants
from tests.bench.cores import take_cores
from tests.bench.crowd import Crowd
from tests.bench.rounds import Figures, Measure, play, report
from tests.bench.shop import Shop, open_shop, services
from tests.bench.watchers import Pace, Usage, Watchers, burst, drive, metrics, of_orders
from tests.bench.wires import Loop

GOALS = {STRAWBERRY: "≥ 5"}
NO_PINGS = {"PING_SECONDS": "86400"}  # which have nothing to do with what an event costs


async def measure_watch(sockets: int, idle: int, rounds: int, pace: Pace, *, bursts: bool) -> bool:
    """Prints events a second, and what an event costs the server. `idle` sockets watch orders that do not change."""
    cores = take_cores()
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "watch", bell_url, sockets)
        with live_contestants(shop, cores, **NO_PINGS) as starts:
            del starts[BARE]  # it tells everybody everything
            contestants = {name: _measure(shop, start, 0, pace, bursts) for name, start in starts.items()}
            crowded = f"{PRODUCT}, {idle:,} idle"
            if idle:
                contestants[crowded] = _measure(shop, starts[PRODUCT], idle, pace, bursts)
            return report(await play(rounds, contestants), metrics("events"), {**GOALS, crowded: "≤ 1.1"})


def _measure(shop: Shop, start: Start, idle: int, pace: Pace, bursts: bool) -> Measure:
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
                if bursts:
                    everyone = range(len(order_ids))
                    events = burst(loop, running.source, everyone, pace, usage, lambda: watchers.heard)
                else:
                    events = drive(loop, running.source, len(order_ids), pace, lambda: watchers.heard)
                figures = usage.figures(events, "events")
                watchers.finish()
                return figures

    return measure
