"""A mixed load of commands by several clients at once, and a record of what each was answered."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.commands.client import ApiError, Client, Refused
from api.execution.errors import UNAVAILABLE

DONE = "done"  # the outcome of a mutation that was answered with an order
NO_ANSWER = "no answer"  # of one that was given up: it may have acted or not
PATIENCE_SECONDS = 60.0  # for which a mutation is sent again where the server cannot be reached
LONGEST_PAUSE_SECONDS = 1.0  # between two attempts
MOST_UNDER_WAY = 48
MOST_OPEN_ORDERS = 40  # that the load goes on with; the oldest are left as they are

CHANNELS = ("web-shop", "marketplace", "store")
_ORDER = "id number version status"
_LONG_NOTE = "It should be left with the neighbours, who are at home in the afternoon. " * 12
_STEPS = {
    "PENDING": ("confirmOrder", "confirmOrder", "confirmOrder", "recordPayment", "addOrderNote", "cancelOrder"),
    "CONFIRMED": ("markReadyToShip", "markShipped", "markShipped", "recordPayment", "addOrderNote", "cancelOrder"),
    "READY_TO_SHIP": ("markShipped", "markShipped", "addTracking", "recordPayment", "cancelOrder"),
    "SHIPPED": ("addTracking", "addOrderNote", "recordPayment", "markShipped"),
    "CANCELLED": ("addOrderNote", "confirmOrder"),
}


@dataclass(slots=True)
class Order:
    """An order as the last answer about it had it."""

    id: str
    number: str
    version: int
    status: str


@dataclass(frozen=True, slots=True)
class Act:
    """A mutation to be sent.

    `mark` is a text that the database has exactly once when it has acted. `conflicts` says that its key was used for
    another input, so that it must be refused.
    """

    name: str
    given: dict[str, Any]
    mark: str | None = None
    conflicts: bool = False

    @property
    def key(self) -> str | None:
        key: str | None = self.given.get("idempotencyKey")
        return key


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one act that was sent, however many attempts it took. Times are those of `time.monotonic`."""

    act: Act
    outcome: str  # DONE, NO_ANSWER, or the code of a refusal or an error
    attempts: int
    sent_at: float
    answered_at: float
    number: str | None = None
    version: int | None = None
    message: str = ""
    order: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.outcome == DONE


class Load:
    """Sends about `rate` mutations a second.

    `sent` is the record of all that was answered or given up, `orders` what the load goes on with.
    """

    def __init__(self, clients: Sequence[Client], chance: random.Random, rate: float) -> None:
        self._clients = clients
        self._chance = chance
        self._rate = rate
        self.orders: deque[Order] = deque(maxlen=MOST_OPEN_ORDERS)
        self._done: deque[Act] = deque(maxlen=200)
        self.sent: list[Sent] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop, and then until all that is under way has its answer."""
        slots = asyncio.Semaphore(MOST_UNDER_WAY)
        due = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                acts = self._choose()
                due = max(time.monotonic() - 1, due + len(acts) / self._rate)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                clients = self._chance.sample(self._clients, len(acts))
                for client, act in zip(clients, acts, strict=True):
                    await slots.acquire()
                    group.create_task(self.send(act, client=client)).add_done_callback(lambda _: slots.release())

    async def send(self, act: Act, fields: str = "", client: Client | None = None, *, apart: bool = False) -> Sent:
        """Sends it until it is answered: again, under the same key, where the server could not be reached.

        The load goes on with an order that is placed, unless it is to stay `apart`.
        """
        began, attempts, pause = time.monotonic(), 0, 0.1
        while True:
            attempts += 1
            try:
                order = await (client or self._clients[0]).mutate(act.name, act.given, f"{_ORDER} {fields}")
            except Refused as refusal:
                outcome, message, order = refusal.code or "refused without a code", str(refusal), {}
            except ApiError as error:
                outcome, message, order = error.code or "error without a code", str(error), {}
            except httpx.TransportError as error:
                outcome, message, order = NO_ANSWER, repr(error), {}
            else:
                outcome, message = DONE, ""
            if outcome not in (NO_ANSWER, UNAVAILABLE) or time.monotonic() - began > PATIENCE_SECONDS:
                break
            await asyncio.sleep(pause * self._chance.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            client = self._chance.choice(self._clients)
        outcome = NO_ANSWER if outcome == UNAVAILABLE else outcome
        known = (order.get("number"), order.get("version"))
        sent = Sent(act, outcome, attempts, began, time.monotonic(), *known, message, order)
        self.sent.append(sent)
        if sent.done and not apart:
            self._remember(sent)
        return sent

    def _remember(self, sent: Sent) -> None:
        self._done.append(sent.act)
        answer = Order(**{name: sent.order[name] for name in _ORDER.split()})
        for order in self.orders:
            if order.id == answer.id:
                if order.version < answer.version:
                    order.version, order.status = answer.version, answer.status
                return
        if sent.act.name == "placeOrder":
            self.orders.append(answer)

    def _choose(self) -> list[Act]:
        """What is sent at the same moment: as a rule one act, sometimes several that get in each other's way."""
        dice = self._chance.random()
        if not self.orders or dice < 0.25:
            return [self.place()]
        order = self._chance.choice(self.orders)
        if dice < 0.66:
            return [self._step(order)]
        if dice < 0.78:  # several clerks at the same order
            return [self._step(order) for _ in range(3)]
        if dice < 0.84:  # several who saw the same version: one can win
            return [self._note(order, order.version) for _ in range(3)]
        if dice < 0.92:  # sent twice at once, as by an impatient client
            return [self._chance.choice((self.place(), self._step(order)))] * 2
        again = self._chance.choice(self._done)
        if dice < 0.97 or again.key is None:
            return [again]
        changed = {"orderId": order.id, "note": "Something else.", "idempotencyKey": again.key}
        return [Act("addOrderNote", changed, conflicts=True)]

    def place(self, channel: str | None = None) -> Act:
        """A new order. It has no external reference: its key alone keeps a second one from being placed."""
        mark = self._mark()
        given = {
            "channel": channel or self._chance.choice(CHANNELS),
            "currency": "CHF",
            "lines": [
                {"title": "Felt hat", "sku": "HAT-FELT", "unitPrice": "59.00", "quantity": self._chance.randint(1, 3)},
                {"title": "Linen shirt", "sku": "SHIRT-LIN", "unitPrice": "89.00", "quantity": 1},
            ],
            "customer": {"name": "Aline Käser", "email": f"customer{self._chance.randrange(50)}@example.com"},
            "note": mark,
            "idempotencyKey": mark,
        }
        return Act("placeOrder", given, mark)

    def _step(self, order: Order) -> Act:
        name = self._chance.choice(_STEPS[order.status])
        if name == "addOrderNote":
            return self._note(order)
        mark = self._mark()
        given: dict[str, Any] = {"orderId": order.id, "idempotencyKey": mark}
        match name:
            case "cancelOrder":
                return Act(name, {**given, "reason": "CUSTOMER"})
            case "markShipped":
                return Act(name, {**given, "tracking": [{"number": mark, "carrier": "Swiss Post"}]}, mark)
            case "addTracking":
                return Act(name, {**given, "number": mark}, mark)
            case "recordPayment":
                return Act(name, {**given, "amount": {"amount": "5.00"}, "reference": mark}, mark)
            case _:  # confirming and packing can be repeated without a key, too
                return Act(name, given if self._chance.random() < 0.7 else {"orderId": order.id})

    def _note(self, order: Order, expected_version: int | None = None) -> Act:
        mark = self._mark()
        text = f"{mark} {_LONG_NOTE}" if self._chance.random() < 0.3 else mark
        given: dict[str, Any] = {"orderId": order.id, "note": text, "idempotencyKey": mark}
        if expected_version is not None:
            given["expectedVersion"] = expected_version
        return Act("addOrderNote", given, mark)

    def note(self, order_id: str) -> Act:
        """A short note on an order."""
        mark = self._mark()
        return Act("addOrderNote", {"orderId": order_id, "note": mark, "idempotencyKey": mark}, mark)

    def _mark(self) -> str:
        return f"{self._chance.getrandbits(96):024x}"
