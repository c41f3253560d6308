"""What a subscribed socket takes of the server's memory."""

from contextlib import closing

from tests.bench.contestants import Start, live_contestants
from tests.bench.cores import resident_kib, take_cores
from tests.bench.crowd import Crowd
from tests.bench.rounds import Figures, Measure, Metric, play, report
from tests.bench.shop import open_shop, services
from tests.bench.watchers import ALL, Everybody
from tests.bench.wires import Loop

FIRST = 20  # sockets that are opened before it is measured: what is loaded or made once is there then
METRICS = (Metric("KiB per socket", digits=1, is_cost=True), Metric("KiB after an event", digits=1, is_cost=True))


async def measure_memory(sockets: int, rounds: int) -> bool:
    """Prints how much the resident memory grows by, for each socket, with a subscription that has had an event."""
    cores = take_cores()
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "memory", bell_url, 1)
        with live_contestants(shop, cores) as starts:
            results = await play(rounds, {name: _measure(start, sockets) for name, start in starts.items()})
            complete = report(results, METRICS)
            print("\ngoal: at most 32 KiB per socket")
            return complete


def _measure(start: Start, sockets: int) -> Measure:
    async def measure() -> Figures:
        with closing(Loop()) as loop:
            async with start(loop) as running:
                first = Everybody(running.source, FIRST)
                crowd = Crowd(loop, first.hear)
                crowd.open(running.address, FIRST, lambda _: ALL, running.token)
                first.begin(loop)
                crowd.close()
                before = resident_kib(running.pid)
                everybody = Everybody(running.source, sockets)
                crowd = Crowd(loop, everybody.hear)
                crowd.open(running.address, sockets, lambda _: ALL, running.token)
                loop.run(1.0)
                opened = resident_kib(running.pid)
                everybody.begin(loop)
                after = resident_kib(running.pid)
                everybody.finish()
                return {METRICS[0].name: (opened - before) / sockets, METRICS[1].name: (after - before) / sockets}

    return measure
