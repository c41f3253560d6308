"""Random lives of orders: every command, in any sequence, against a model and against the log.

A run of all tests lives few of them, and some more until every command has been carried out and repeated.
`LIVES=500 scripts/test tests/domain/test_property.py` lives 500 on each engine.
"""

import asyncio
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from domain.actors import system
from domain.errors import DomainError
from domain.fulfillments.services import save_service
from domain.orders import actions
from domain.stream.bell import Bell
from models import Order
from models.engine.database import connected
from tests.database import reader_of
from tests.domain.life import deciding, paying, requesting, shipping  # noqa: F401 - they declare the steps
from tests.domain.life.order import ModelOrder, Refused
from tests.domain.life.replay import Replay
from tests.domain.life.steps import (
    PLACE,
    SERVICES,
    STEPS,
    Call,
    Keys,
    declared_commands,
    perform,
    placed,
    random_call,
)
from tests.domain.shop import ADA

Rows = dict[str, list[dict[str, Any]]]
CALLS = 70  # in each life
LIVES = {"sqlite": 25, "postgres": 10}
FIRST_SEED = {"sqlite": 405, "postgres": 2_000_000}  # of the first life, so that each engine sees others
LIVES_PER_COMMAND = 25  # in so many lives, each command is carried out once at least
MOST_LIVES = 8  # times as many lives as are asked for: the limit for what has not happened by then
MOST_ORDERS = 3
OUTCOMES = {
    "done",
    "again",
    "NOT_FOUND",
    "INVALID_TRANSITION",
    "VERSION_CONFLICT",
    "IDEMPOTENCY_CONFLICT",
    "INVALID_INPUT",
    "NOTHING_TO_SHIP",
    "NOTHING_TO_REFUND",
    "NOTHING_TO_VOID",
    "UNKNOWN_GATEWAY",
}


def copied(model: ModelOrder) -> ModelOrder:
    copy: ModelOrder = pickle.loads(pickle.dumps(model))  # several times faster than copy.deepcopy
    return copy


class CountedBell(Bell):
    """A bell that only counts how often it is rung."""

    def __init__(self) -> None:
        super().__init__("memory://")
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1


@dataclass
class Tally:
    """What happened in all lives: how often the bell rang, and how often each command came to what."""

    bell: CountedBell = field(default_factory=CountedBell)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def seen(self) -> set[str]:
        return {outcome for _, outcome in self.outcomes}

    def missing(self, lives: int) -> list[str]:
        """Return the commands and outcomes that should have happened in so many lives and have not."""
        times = lives // LIVES_PER_COMMAND
        missing = [name for name in (PLACE, *STEPS) if self.outcomes[name, "done"] < times]
        if times:
            repeated = (PLACE, *(name for name, each in STEPS.items() if each.repeats))
            missing += [f"{name} again" for name in repeated if not self.outcomes[name, "again"]]
            missing += sorted(OUTCOMES - self.seen())
        return missing


class Lives:
    """A few orders in a database of their own, each beside its model."""

    def __init__(self, runner: asyncio.Runner, url: str, tally: Tally) -> None:
        self.runner = runner
        self.tally = tally
        self.stack = AsyncExitStack()
        self.runner.run(self.stack.enter_async_context(connected(url)))
        for code in SERVICES:
            self.runner.run(save_service(actor=ADA, code=code, name=code, email=f"{code}@example.com"))
        self.reader = self.runner.run(reader_of(url))
        self.models: list[ModelOrder] = []
        self.keys: dict[str, tuple[str, int]] = {}
        self.calls: list[Call] = []
        self.rows = self.read()

    def close(self) -> None:
        self.runner.run(self.reader.close())
        self.runner.run(self.stack.aclose())

    def live(self, random: Random) -> None:
        self.act(Call(PLACE, -1, (((2, 0, 1000, None), (3, 0, 500, "lager")), ()), key="a"))
        self.act(Call("confirm", 0))
        if random.random() < 0.5:
            self.act(Call("request", 0, (None,)))
        while len(self.calls) < CALLS:
            call = random_call(random, [model.version for model in self.models])
            if random.random() < 0.1:
                call = random.choice(self.calls[-10:])
            if call.step != PLACE or len(self.models) < MOST_ORDERS:
                self.act(call)

    def read(self) -> Rows:
        return self.runner.run(self.reader.rows())

    def act(self, call: Call) -> None:
        """Sends the call, and holds what comes of it against the model, the log and the database's constraints."""
        self.calls.append(call)
        before, rung = self.rows, self.tally.bell.rings
        expected, new_key = self.predict(call)
        try:
            answer = self.runner.run(perform(call, self.keys_for(call)))
            answered: Any = None
        except DomainError as refusal:
            answered = refusal.code.value
        self.rows = self.read()
        if answered is None:
            answered = [row["type"] for row in self.events_after(before)]
        assert answered == expected, call
        self.tally.outcomes[call.step, expected if isinstance(expected, str) else "done" if expected else "again"] += 1
        recorded = not isinstance(expected, str) and bool(expected)
        assert self.tally.bell.rings - rung == (1 if recorded else 0)
        if not recorded:
            assert len(self.rows["idempotency_records"]) - len(before["idempotency_records"]) == (1 if new_key else 0)
            assert self.without_keys(self.rows) == self.without_keys(before), call
        if not isinstance(expected, str):
            self.check_answer(call, answer)
        for index in range(len(self.models)) if recorded else ():
            self.check(index)
        self.runner.run(self.reader.check())

    def events_after(self, before: Rows) -> list[Mapping[str, Any]]:
        last = max((row["id"] for row in before["order_events"]), default=0)
        later = [row for row in self.rows["order_events"] if row["id"] > last]
        return sorted(later, key=lambda row: row["id"])

    @staticmethod
    def without_keys(rows: Rows) -> Rows:
        return {name: table for name, table in rows.items() if name != "idempotency_records"}

    def predict(self, call: Call) -> tuple[list[str] | str, bool]:
        """The events that the call records or the code that it is refused with, and whether it uses a key up."""
        try:
            if call.step != PLACE and STEPS[call.step].refuses(*call.given):
                raise Refused("INVALID_INPUT")
            if call.step != PLACE and call.order < 0:
                raise Refused("NOT_FOUND")
            if call.idempotency is not None and call.key in self.keys:
                if self.keys[call.key][0] != call.idempotency.fingerprint:
                    raise Refused("IDEMPOTENCY_CONFLICT")
                return [], False
            index, model, events = self.take(call)
        except Refused as refusal:
            return refusal.code, False
        model.version += len(events)
        self.models[index : index + 1] = [model]
        if call.idempotency is not None:
            self.keys[call.idempotency.key] = (call.idempotency.fingerprint, index)
        return events, call.key is not None

    def take(self, call: Call) -> tuple[int, ModelOrder, list[str]]:
        if call.step == PLACE:
            return (len(self.models), *placed(*call.given))
        model = copied(self.models[call.order])
        if call.version not in (None, model.version):
            raise Refused("VERSION_CONFLICT")
        return call.order, model, STEPS[call.step].model(model, *call.given)

    def order_row(self, index: int) -> dict[str, Any]:
        return sorted(self.rows["orders"], key=lambda row: row["number"])[index]

    def parts(self, table: str, index: int, by: str = "position") -> list[dict[str, Any]]:
        key = self.order_row(index)["id"]
        return sorted((row for row in self.rows[table] if row["order_id"] == key), key=lambda row: row[by])

    def keys_for(self, call: Call) -> Keys:
        if call.order < 0:
            return Keys()

        def keys(table: str) -> list[UUID]:
            return [UUID(row["id"]) for row in self.parts(table, call.order)]

        return Keys(
            order=UUID(self.order_row(call.order)["id"]),
            lines=keys("order_lines"),
            parcels=keys("fulfillments"),
            numbers=[UUID(key) for key in self.replayed(call.order).every_number],
            notes=[UUID(key) for key in self.replayed(call.order).notes],
        )

    def replayed(self, index: int) -> Replay:
        replay = Replay()
        for event in self.parts("order_events", index, by="id"):
            replay.read(event)
        return replay

    def check_answer(self, call: Call, answer: Order) -> None:
        """The order that a command returns is the one that is stored."""
        index = self.keys[call.key][1] if call.key else call.order if call.order >= 0 else len(self.models) - 1
        row = self.order_row(index)
        self.check_actions(self.models[index])
        assert (str(answer.id), answer.version, answer.status) == (row["id"], row["version"], row["status"])
        assert (answer.payment_status, answer.fulfillment_status) == (row["payment_status"], row["fulfillment_status"])

    def check(self, index: int) -> None:
        """The order's rows are what the model says and what its log tells."""
        row, model, replay = self.order_row(index), self.models[index], self.replayed(index)
        assert {name: row[name] for name in replay.columns} == replay.columns
        lines = self.parts("order_lines", index)
        assert {line["id"]: line["fulfillable_quantity"] for line in lines} == replay.free
        assert {line["id"]: line["shipped_quantity"] for line in lines} == replay.shipped
        parcels = self.parts("fulfillments", index)
        units: dict[str, dict[str, int]] = {parcel["id"]: {} for parcel in parcels}
        for held in self.rows["fulfillment_lines"]:
            units.get(held["fulfillment_id"], {})[held["order_line_id"]] = held["quantity"]
        assert {parcel["id"]: (parcel["state"], units[parcel["id"]]) for parcel in parcels} == replay.parcels
        asked = [each for each in parcels if each["request_status"]]
        assert {each["id"]: (each["request_status"], each["rejection"]) for each in asked} == replay.requests
        numbers = self.parts("tracking", index, by="id")
        found = {
            each["id"]: tuple(each[name] for name in ("fulfillment_id", "number", "carrier", "url")) for each in numbers
        }
        assert found == replay.numbers
        notes = self.parts("delivery_notes", index, by="id")
        assert {each["id"]: (each["fulfillment_id"], each["number"]) for each in notes} == replay.notes
        keys = [parcel["id"] for parcel in parcels]
        assert [(keys.index(each["fulfillment_id"]), each["position"]) for each in notes] == model.notes
        taken = sorted(int(each["number"].rpartition("-")[2]) for each in self.rows["delivery_notes"])
        assert taken == list(range(1, len(taken) + 1))
        money: Counter[str] = Counter()
        for moved in self.parts("transactions", index, by="id"):
            money[moved["kind"]] += moved["amount"]
        assert money == replay.money

        expected = model.columns()
        assert {name: row[name] for name in expected} == expected
        assert (row["archived_at"] is not None, row["held_at"] is not None) == (model.archived, model.held is not None)
        assert [(line["fulfillable_quantity"], line["shipped_quantity"]) for line in lines] == [
            (line.free, line.shipped) for line in model.lines
        ]
        places = [line["id"] for line in lines]
        assert [(each["state"], each["request_status"], each["rejection"]) for each in parcels] == [
            (parcel.state, parcel.request, parcel.rejection) for parcel in model.parcels
        ]
        assert [{places.index(line): count for line, count in units[parcel["id"]].items()} for parcel in parcels] == [
            parcel.units for parcel in model.parcels
        ]

    @staticmethod
    def check_actions(model: ModelOrder) -> None:
        """What is said to be available would be carried out, and the rest would be refused or a repetition."""
        available = {
            each.action.command
            for each in actions.available_actions(model.situation(), system("tests"))
            if each.available
        }
        trials = {each.command: each for each in STEPS.values() if each.trial is not None}
        possible = set()
        for command, step in trials.items():
            try:
                if step.model(copied(model), *(step.trial or ())):
                    possible.add(command)
            except Refused:
                pass
        assert available & set(trials) == possible, model


@contextmanager
def ringing(runner: asyncio.Runner, bell: Bell) -> Iterator[None]:
    running = bell.running(lambda: None)
    runner.run(running.__aenter__())
    try:
        yield
    finally:
        runner.run(running.__aexit__(None, None, None))


def test_every_command_of_an_order_has_a_model() -> None:
    """A command that `tests/domain/life/` does not know is never sent: declare its step there."""
    assert {each.command.name for each in STEPS.values()} == declared_commands()


def test_random_lives(engine: str, new_database: Callable[[], str]) -> None:
    tally = Tally()
    number = int(os.environ.get("LIVES", LIVES[engine]))

    lived = 0
    with asyncio.Runner() as runner, ringing(runner, tally.bell):
        while lived < number or (tally.missing(number) and lived < number * MOST_LIVES):
            seed = FIRST_SEED[engine] + lived
            lives = Lives(runner, new_database(), tally)
            try:
                lives.live(Random(seed))
            except AssertionError as error:
                error.add_note("\n".join([f"seed {seed}", *map(str, lives.calls)]))
                raise
            finally:
                lives.close()
            lived += 1
    assert tally.seen() <= OUTCOMES
    assert tally.missing(number) == [], f"give these steps a larger weight, or other input: {tally.outcomes}"
    assert sum(tally.outcomes.values()) == lived * CALLS
