"""One event to many sockets that have the same subscription."""

import time
from contextlib import closing

from api.commands.bench.contestants import (
    BARE,
    MERCURIUS,
    PRODUCT,
    STRAWBERRY,
    Start,
    node_peers,
    product,
    python_peer,
)
from api.commands.bench.cores import take_cores
from api.commands.bench.crowd import Crowd
from api.commands.bench.live import ALL, ANSWER_SECONDS, Everybody, Usage, metrics
from api.commands.bench.rounds import Figures, Measure, play, report
from api.commands.bench.shop import open_shop, services
from api.commands.bench.wires import Loop

ORDERS = 50  # whose events come in turn
GOALS = {STRAWBERRY: "≥ 25", MERCURIUS: "≥ 8", BARE: "≥ 0.75"}


async def measure_fanout(sockets: int, seconds: float, rounds: int, at_once: int, in_flight: int) -> bool:
    """Prints deliveries a second. Events are made `at_once` by `at_once`, and `in_flight` of them may be under way."""
    cores = take_cores()
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "fanout", bell_url, ORDERS)
        with node_peers(shop, cores) as for_node:
            starts = {
                PRODUCT: product(shop, cores),
                STRAWBERRY: python_peer(shop, cores, "strawberry_app"),
                **for_node,
                BARE: python_peer(shop, cores, "bare_sockets"),
            }
            contestants = {
                name: _measure(start, sockets, seconds, at_once, in_flight) for name, start in starts.items()
            }
            return report(await play(rounds, contestants), metrics("deliveries"), GOALS)


def _measure(start: Start, sockets: int, seconds: float, at_once: int, in_flight: int) -> Measure:
    async def measure() -> Figures:
        with closing(Loop()) as loop:
            async with start(loop) as running:
                everybody = Everybody(running.source, sockets)
                crowd = Crowd(loop, everybody.hear)
                crowd.open(running.address, sockets, lambda _: ALL, running.token)
                everybody.begin(loop)
                first = sent = everybody.complete
                usage = Usage.of(running.pid)
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    while sent + at_once - everybody.complete <= in_flight:
                        running.source.send([(sent + number) % ORDERS for number in range(at_once)])
                        sent += at_once
                    loop.turn(0.05)
                loop.until(lambda: everybody.complete == sent, ANSWER_SECONDS)
                figures = usage.figures((sent - first) * sockets, "deliveries")
                everybody.finish()
                return figures

    return measure
