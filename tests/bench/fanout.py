"""One event to many sockets that have the same subscription."""

from contextlib import closing

from tests.bench.contestants import BARE, MERCURIUS, STRAWBERRY, Start, live_contestants
from tests.bench.cores import take_cores
from tests.bench.crowd import Crowd
from tests.bench.rounds import Figures, Measure, play, report
from tests.bench.shop import open_shop, services
from tests.bench.watchers import ALL, Everybody, Pace, Usage, drive, metrics
from tests.bench.wires import Loop

ORDERS = 50  # whose events come in turn
GOALS = {STRAWBERRY: "≥ 25", MERCURIUS: "≥ 8", BARE: "≥ 0.75"}


async def measure_fanout(sockets: int, rounds: int, pace: Pace) -> bool:
    """Prints deliveries a second."""
    cores = take_cores()
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "fanout", bell_url, ORDERS)
        with live_contestants(shop, cores) as starts:
            contestants = {name: _measure(start, sockets, pace) for name, start in starts.items()}
            return report(await play(rounds, contestants), metrics("deliveries"), GOALS)


def _measure(start: Start, sockets: int, pace: Pace) -> Measure:
    async def measure() -> Figures:
        with closing(Loop()) as loop:
            async with start(loop) as running:
                everybody = Everybody(running.source, sockets)
                Crowd(loop, everybody.hear).open(running.address, sockets, lambda _: ALL, running.token)
                everybody.begin(loop)
                first, usage = everybody.complete, Usage.of(running.pid)
                events = drive(loop, running.source, ORDERS, pace, lambda: everybody.complete - first)
                figures = usage.figures(events * sockets, "deliveries")
                everybody.finish()
                return figures

    return measure
