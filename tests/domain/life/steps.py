"""The steps of an order's life, each declared in one place: how often it is sent and with what, and its model.

A step is a function of a `ModelOrder` and the input. It returns the types of the events that the command records, none
for a repetition, or raises `Refused`.
"""

import hashlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib import import_module
from inspect import signature
from random import Random
from typing import Any
from uuid import UUID

import domain
from domain.change import Command, Idempotency, Target
from domain.fulfillments.packing import LineQuantity
from domain.orders.placing import NewLine, NewPayment, place_order
from models import DeliveryNote, Order
from models.enums import TransactionKind
from tests.domain.life.order import Authorization, Line, ModelOrder, Refused
from tests.domain.shop import ADA, new_order

NOBODY = UUID(int=0)
SERVICES = ("lager", "post")
Model = Callable[..., list[str]]


@dataclass(frozen=True)
class Call:
    """A step with its input, in which everything goes by its place. `order` is -1 for one that there is not."""

    step: str
    order: int
    given: tuple[Any, ...] = ()
    version: int | None = None
    key: str | None = None

    @property
    def idempotency(self) -> Idempotency | None:
        digest = hashlib.sha256(repr(replace(self, key=None)).encode()).hexdigest()
        return Idempotency(self.key, digest) if self.key else None


@dataclass
class Keys:
    """What a call's places stand for: the keys of its order and of the order's parts."""

    order: UUID = NOBODY
    lines: list[UUID] = field(default_factory=list)
    parcels: list[UUID] = field(default_factory=list)
    numbers: list[UUID] = field(default_factory=list)
    notes: list[UUID] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """`weight` is how often the command is sent, in relation to the others, and `given` makes random input.

    `arguments` makes the command's arguments of the input; by default they have the names of the model's parameters.
    `refuses` returns whether an input is invalid for any order: the command refuses it before it looks for the order.
    `trial` is an input with which the command would be carried out if its action is available.
    `repeats` is false if every call of the command records an event, also one with the same input as the last.
    """

    command: Command[..., Any]
    weight: int
    given: Callable[[Random], tuple[Any, ...]]
    model: Model
    arguments: Callable[..., dict[str, Any]] | None
    refuses: Callable[..., bool]
    trial: tuple[Any, ...] | None
    repeats: bool

    async def perform(self, call: Call, keys: Keys) -> Order:
        """Send the call, as Ada."""
        if self.arguments is not None:
            given = self.arguments(keys, *call.given)
        else:
            given = dict(zip(list(signature(self.model).parameters)[1:], call.given, strict=True))
        target = Target(keys.order, call.version, call.idempotency)
        answer = await self.command(actor=ADA, target=target, **given)
        return await Order.get(id=answer.order_id) if isinstance(answer, DeliveryNote) else answer


STEPS: dict[str, Step] = {}


def step(
    command: Command[..., Any],
    *,
    weight: int,
    given: Callable[[Random], tuple[Any, ...]] = lambda random: (),
    arguments: Callable[..., dict[str, Any]] | None = None,
    refuses: Callable[..., bool] = lambda *given: False,
    trial: tuple[Any, ...] | None = None,
    repeats: bool = True,
) -> Callable[[Model], Model]:
    """Declare the step that the command takes; the function is its model. See `Step`."""

    def declare(model: Model) -> Model:
        STEPS[model.__name__] = Step(command, weight, given, model, arguments, refuses, trial, repeats)
        return model

    return declare


def declared_commands() -> set[str]:
    """Return the commands of `domain` that change an order."""
    modules = [import_module(each.name) for each in pkgutil.walk_packages(domain.__path__, "domain.")]
    return {
        each.name
        for module in modules
        for each in vars(module).values()
        if isinstance(each, Command) and "target" in signature(each).parameters
    }


def key_at(keys: list[UUID], place: int | None) -> Any:
    if place is None:
        return None
    return keys[place] if place < len(keys) else NOBODY


def some_index(random: Random) -> int:
    return random.choice([0] * 6 + [1, 1, 2])


def some_text(random: Random) -> tuple[str]:
    return (random.choice(["one", "two", "three", ""]),)


def units(keys: Keys, lines: Any) -> list[LineQuantity] | None:
    return None if lines is None else [LineQuantity(key_at(keys.lines, line), count) for line, count in lines]


def money(amount: int) -> Decimal:
    return Decimal(amount).scaleb(-2)


PLACE = "place"
_PLACE_WEIGHT = 2


def _new_order(random: Random) -> tuple[Any, ...]:
    """Lines `(quantity, removed, cents, service)` and payments `(kind, cents, gateway)`."""
    lines = tuple(
        (
            random.randint(1, 3),
            random.choice([0, 0, 0, 1]),
            random.choice([1000, 1000, 0]),
            random.choice([None, None, *SERVICES]),
        )
        for _ in range(random.choice([0] + [1, 2] * 6))
    )
    taken = tuple(
        (
            random.choice(["AUTHORIZATION", "AUTHORIZATION", "SALE"]),
            random.choice([500, 1000, 2000] * 5 + [0]),
            random.choice(["manual"] * 2 + ["stripe"]),
        )
        for _ in range(random.choice([0, 1, 1, 2]))
    )
    return lines, taken


def placed(lines: Any, payments: Any) -> tuple[ModelOrder, list[str]]:
    """Return the model of a new order, and the types of its events."""
    if not lines or any(amount == 0 for _, amount, _ in payments):
        raise Refused("INVALID_INPUT")
    model = ModelOrder(
        lines=[Line(quantity, removed, quantity - removed, service) for quantity, removed, _, service in lines],
        total=sum(quantity * price for quantity, _, price, _ in lines),
        authorizations=[Authorization(gateway, amount) for kind, amount, gateway in payments if kind != "SALE"],
        paid=sum(amount for kind, amount, _ in payments if kind == "SALE"),
    )
    types = {"AUTHORIZATION": "PAYMENT_AUTHORIZED", "SALE": "PAYMENT_RECORDED"}
    return model, ["ORDER_PLACED", *(types[kind] for kind, _, _ in payments)]


async def _place(call: Call) -> Order:
    lines, taken = call.given
    new = new_order(
        lines=[
            NewLine(f"Line {place}", quantity, money(price), removed_quantity=removed, service=service)
            for place, (quantity, removed, price, service) in enumerate(lines)
        ],
        payments=[NewPayment(TransactionKind(kind), money(amount), gateway) for kind, amount, gateway in taken],
    )
    return await place_order(actor=ADA, new=new, idempotency=call.idempotency)


async def perform(call: Call, keys: Keys) -> Order:
    return await _place(call) if call.step == PLACE else await STEPS[call.step].perform(call, keys)


def random_call(random: Random, versions: list[int]) -> Call:
    """A call for one of the orders, whose versions are given, or for none of them."""
    weights = {PLACE: _PLACE_WEIGHT, **{name: each.weight for name, each in STEPS.items()}}
    [name] = random.choices(list(weights), list(weights.values()))
    order = -1 if name == PLACE or random.random() < 0.03 else random.randrange(len(versions))
    version = None
    if order >= 0 and random.random() < 0.2:
        version = versions[order] - random.choice([0, 0, 0, 1])
    key = random.choice("abcdef") if random.random() < (0.5 if name == PLACE else 0.1) else None
    given = _new_order(random) if name == PLACE else STEPS[name].given(random)
    return Call(name, order, given, version, key)
