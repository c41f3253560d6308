"""How long after a mutation's answer everybody who is subscribed has its event."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count

import orjson

from api.commands.watching import quantile
from tests.bench.contestants import PRODUCT, STRAWBERRY, Running, Start, product, python_peer
from tests.bench.cores import take_cores
from tests.bench.crowd import Crowd
from tests.bench.load import Load, Question, for_seconds, question
from tests.bench.reads import one_order
from tests.bench.rounds import Figures, Measure, Metric, play, report
from tests.bench.shop import Shop, open_shop, services
from tests.bench.sources import NOTE, Poster, Source
from tests.bench.watchers import ALL, ANSWER_SECONDS, Everybody
from tests.bench.wires import Loop

ORDERS = 50
PAUSE_SECONDS = 0.05  # between the last delivery of an event and the next mutation
ADD_NOTE = """mutation ($input: AddOrderNoteInput!) {
    addOrderNote(input: $input) { order { id } userErrors { code message } }
}"""
ADD_NOTE_THERE = """mutation ($orderId: ID!, $note: String!, $event: String!) {
    addOrderNote(orderId: $orderId, note: $note, event: $event) { id }
}"""
BUSY = "busy"
STATES = ("quiet", BUSY)
MEDIAN, P99 = Metric("median, ms", digits=1, is_cost=True), Metric("p99, ms", digits=1, is_cost=True)
P99_BY_MEDIAN = Metric("p99 / median", digits=1, ratio=False)
SINCE_REQUEST = Metric("median since the request, ms", digits=1, is_cost=True)


class Timed(Everybody):
    """Knows when each socket had each event."""

    def __init__(self, source: Source, size: int) -> None:
        super().__init__(source, size)
        self.arrived: list[list[float]] = []

    def heard(self, number: int) -> None:
        if number == len(self.arrived):
            self.arrived.append([])
        self.arrived[number].append(time.perf_counter())


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds until a socket had an event, since the mutation was answered and since it was sent."""

    answered: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)

    def figures(self) -> Figures:
        median, p99 = quantile(self.answered, 0.5), quantile(self.answered, 0.99)
        return {
            MEDIAN.name: median,
            P99.name: p99,
            P99_BY_MEDIAN.name: p99 / median if median > 0 else math.nan,
            SINCE_REQUEST.name: quantile(self.sent, 0.5),
        }


async def measure_latency(sockets: int, clients: int, seconds: float, rounds: int) -> bool:
    """Prints median and 99th percentile of all sockets and events: on a quiet server, and while clients read orders."""
    cores = take_cores()
    async with services() as (postgres, bell_url):
        shop = await open_shop(postgres, "latency", bell_url, ORDERS)
        starts = {PRODUCT: product(shop, cores), STRAWBERRY: python_peer(shop, cores, "strawberry_app")}
        contestants = {name: _measure(start, shop, name, sockets, clients, seconds) for name, start in starts.items()}
        results = await play(rounds, contestants)
        complete = True
        for state in STATES:
            print(f"\n{state}:")
            complete &= report(_in_state(results, state), (MEDIAN, P99, P99_BY_MEDIAN, SINCE_REQUEST))
        print("\ngoal: a busy server's p99 within 3 times its median")
        return complete


def _in_state(results: Mapping[str, Sequence[Figures]], state: str) -> dict[str, list[Figures]]:
    start = f"{state} "
    return {
        name: [
            {key.removeprefix(start): value for key, value in each.items() if key.startswith(start)} for each in rounds
        ]
        for name, rounds in results.items()
    }


def _measure(start: Start, shop: Shop, name: str, sockets: int, clients: int, seconds: float) -> Measure:
    async def measure() -> Figures:
        with closing(Loop()) as loop:
            async with start(loop) as running:
                everybody = Timed(running.source, sockets)
                Crowd(loop, everybody.hear).open(running.address, sockets, lambda _: ALL, running.token)
                everybody.begin(loop)
                mutations = map(_mutation_of(running, shop), count())
                figures: Figures = {}
                for state in STATES:
                    questions = for_seconds(seconds, one_order(running, shop, name))
                    load = Load(loop, running.address, clients if state == BUSY else 0, questions)
                    latencies = _watch(loop, running, everybody, mutations, seconds)
                    load.finish(ANSWER_SECONDS)
                    figures |= {f"{state} {key}": value for key, value in latencies.figures().items()}
                everybody.finish()
                return figures

    return measure


def _mutation_of(running: Running, shop: Shop) -> Callable[[int], Question]:
    source = running.source

    def mutation(number: int) -> Question:
        order = number % ORDERS
        if isinstance(source, Poster):
            key, event = str(shop.keys[order]), orjson.dumps(source.event(order)).decode()
            variables = {"orderId": key, "note": NOTE, "event": event}
            return question(running.address, None, ADD_NOTE_THERE, variables, {"addOrderNote": {"id": key}})
        node_id = shop.orders[order]["id"]
        answer = {"addOrderNote": {"order": {"id": node_id}, "userErrors": []}}
        return question(running.address, running.token, ADD_NOTE, {"input": {"orderId": node_id, "note": NOTE}}, answer)

    return mutation


def _watch(loop: Loop, running: Running, everybody: Timed, mutations: Iterator[Question], seconds: float) -> Latencies:
    """One mutation after the other, each once everybody has the event of the last."""
    latencies = Latencies()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _watch_one(loop, running, everybody, next(mutations), latencies)
        loop.run(PAUSE_SECONDS)
    return latencies


def _watch_one(loop: Loop, running: Running, everybody: Timed, mutation: Question, latencies: Latencies) -> None:
    number = everybody.complete
    sent = time.perf_counter()
    load = Load(loop, running.address, 1, iter([mutation]))
    load.finish(ANSWER_SECONDS)
    answered = time.perf_counter()
    loop.until(lambda: everybody.complete > number, ANSWER_SECONDS)
    latencies.answered.extend(1000 * (at - answered) for at in everybody.arrived[number])
    latencies.sent.extend(1000 * (at - sent) for at in everybody.arrived[number])
