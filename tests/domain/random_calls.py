"""Commands with random input, most of it sound and some of it not, and sending them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from domain.change import Idempotency, Target
from domain.delivery_notes.commands import create_delivery_note
from domain.fulfillments import commands as fulfillments
from domain.fulfillments.commands import KEEP, TrackingInfo
from domain.fulfillments.packing import LineQuantity
from domain.orders import commands as orders
from domain.orders.placing import NewLine, NewPayment, place_order
from domain.payments import commands as payments
from domain.payments.commands import Amount
from models import Order
from models.enums import CancelReason, TransactionKind
from tests.domain.shop import ADA, ISSUER, new_order

NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Call:
    """A command with its input, in which everything goes by its place. `order` is -1 for one that there is not."""

    command: str
    order: int
    given: tuple[Any, ...] = ()
    version: int | None = None
    key: str | None = None

    @property
    def idempotency(self) -> Idempotency | None:
        digest = hashlib.sha256(repr(replace(self, key=None)).encode()).hexdigest()
        return Idempotency(self.key, digest) if self.key else None


def _lines(random: Random) -> tuple[tuple[int, int], ...] | None:
    """Units of lines: `(line, count)`."""
    if random.random() < 0.5:
        return None
    count = random.choices([0, 1, 2], [1, 10, 10])[0]
    return tuple(
        (random.choice([0] * 6 + [1] * 6 + [2]), random.choice([1] * 6 + [2] * 3 + [3, 0])) for _ in range(count)
    )


def _parcel(random: Random) -> int | None:
    return random.choice([None] * 10 + [0, 0, 0, 1, 2])


def _number(random: Random) -> str:
    return random.choice(["T-1", "T-2", "T-3"] * 4 + ["t-1", ""])


def _carrier(random: Random) -> str | None:
    return random.choice([None, None, "Post", "DHL"])


def _index(random: Random) -> int:
    return random.choice([0] * 6 + [1, 1, 2])


def _amount(random: Random) -> tuple[int | None]:
    """In cents."""
    return (random.choice([None, None, 1, 500, 1000, 1000, 2500, 0, 100_000]),)


def _placed(random: Random) -> tuple[Any, ...]:
    """Lines `(quantity, removed, cents)` and payments `(kind, cents, gateway)`."""
    lines = tuple(
        (random.randint(1, 3), random.choice([0, 0, 0, 1]), random.choice([1000, 1000, 0]))
        for _ in range(random.choice([0] + [1, 2] * 6))
    )
    taken = tuple(
        (
            random.choice([TransactionKind.AUTHORIZATION, TransactionKind.AUTHORIZATION, TransactionKind.SALE]),
            random.choice([500, 1000, 2000] * 5 + [0]),
            random.choice(["manual"] * 7 + ["stripe"]),
        )
        for _ in range(random.choice([0, 0, 1, 2]))
    )
    return lines, taken


def _shipment(random: Random) -> tuple[Any, ...]:
    numbers = tuple(_number(random) for _ in range(random.choice([0, 0, 0, 1, 2])))
    return _lines(random), _parcel(random), numbers


# How often each command is sent, in relation to the others, and with what.
COMMANDS: dict[str, tuple[int, Callable[[Random], tuple[Any, ...]]]] = {
    "place": (2, _placed),
    "confirm": (6, lambda random: ()),
    "cancel": (1, lambda random: (random.choice(["FRAUD", "STAFF"]),)),
    "archive": (4, lambda random: ()),
    "unarchive": (2, lambda random: ()),
    "add_note": (2, lambda random: (random.choice(["one", "two", "three", ""]),)),
    "ready": (7, lambda random: (_lines(random),)),
    "ship": (10, _shipment),
    "add_tracking": (6, lambda random: (_number(random), _carrier(random), _parcel(random))),
    "create_note": (3, lambda random: (_parcel(random), random.choice([None, None, _index(random)]))),
    "update_tracking": (
        5,
        lambda random: (_index(random), random.choice([None, _number(random)]), _carrier(random)),
    ),
    "remove_tracking": (3, lambda random: (_index(random),)),
    "capture": (4, _amount),
    "record": (3, _amount),
    "refund": (4, _amount),
}


def random_call(random: Random, versions: list[int]) -> Call:
    """A call for one of the orders, whose versions are given, or for none of them."""
    names = list(COMMANDS)
    [command] = random.choices(names, [COMMANDS[name][0] for name in names])
    order = -1 if command == "place" or random.random() < 0.03 else random.randrange(len(versions))
    version = None
    if order >= 0 and random.random() < 0.2:
        version = versions[order] - random.choice([0, 0, 0, 1])
    key = random.choice("abcdef") if random.random() < (0.5 if command == "place" else 0.1) else None
    return Call(command, order, COMMANDS[command][1](random), version, key)


@dataclass
class Keys:
    """What a call's places stand for: the keys of its order and of the order's parts."""

    order: UUID = NOBODY
    lines: list[UUID] = field(default_factory=list)
    parcels: list[UUID] = field(default_factory=list)
    numbers: list[UUID] = field(default_factory=list)
    notes: list[UUID] = field(default_factory=list)


def _at(keys: list[UUID], place: int) -> UUID:
    return keys[place] if place < len(keys) else NOBODY


def _at_if(keys: list[UUID], place: int | None) -> UUID | None:
    return None if place is None else _at(keys, place)


def _units(keys: Keys, lines: Any) -> list[LineQuantity] | None:
    return None if lines is None else [LineQuantity(_at(keys.lines, line), count) for line, count in lines]


def _cents(amount: int) -> Decimal:
    return Decimal(amount).scaleb(-2)


def _given(amount: int | None) -> Amount | None:
    return None if amount is None else Amount(_cents(amount))


async def _place(call: Call) -> Order:
    lines, taken = call.given
    new = new_order(
        lines=[
            NewLine(f"Line {place}", quantity, _cents(price), removed_quantity=removed)
            for place, (quantity, removed, price) in enumerate(lines)
        ],
        payments=[NewPayment(kind, _cents(amount), gateway) for kind, amount, gateway in taken],
    )
    return await place_order(actor=ADA, new=new, idempotency=call.idempotency)


async def perform(call: Call, keys: Keys) -> Order:
    """Sends the call, as Ada."""
    if call.command == "place":
        return await _place(call)
    common: Any = {"actor": ADA, "target": Target(keys.order, call.version, call.idempotency)}
    match call.command, call.given:
        case "confirm", ():
            return await orders.confirm_order(**common)
        case "cancel", (reason,):
            return await orders.cancel_order(**common, reason=CancelReason(reason))
        case "archive", ():
            return await orders.archive_order(**common)
        case "unarchive", ():
            return await orders.unarchive_order(**common)
        case "add_note", (note,):
            return await orders.add_order_note(**common, note=note)
        case "ready", (lines,):
            return await fulfillments.mark_ready_to_ship(**common, lines=_units(keys, lines))
        case "ship", (lines, parcel, numbers):
            return await fulfillments.mark_shipped(
                **common,
                lines=_units(keys, lines),
                fulfillment_id=_at_if(keys.parcels, parcel),
                tracking=[TrackingInfo(number) for number in numbers],
            )
        case "add_tracking", (number, carrier, parcel):
            info = TrackingInfo(number, carrier)
            key = _at_if(keys.parcels, parcel)
            return await fulfillments.add_tracking(**common, info=info, fulfillment_id=key)
        case "create_note", (parcel, replaces):
            note = await create_delivery_note(
                **common,
                issuer=ISSUER,
                fulfillment_id=_at_if(keys.parcels, parcel),
                replaces=_at_if(keys.notes, replaces),
            )
            return await Order.get(id=note.order_id)
        case "update_tracking", (index, number, carrier):
            return await fulfillments.update_tracking(
                **common,
                tracking_id=_at(keys.numbers, index),
                number=KEEP if number is None else number,
                carrier=carrier,
            )
        case "remove_tracking", (index,):
            return await fulfillments.remove_tracking(**common, tracking_id=_at(keys.numbers, index))
        case "capture", (amount,):
            return await payments.capture_payment(**common, amount=_given(amount))
        case "record", (amount,):
            return await payments.record_payment(**common, amount=_given(amount))
        case "refund", (amount,):
            return await payments.refund_payment(**common, amount=_given(amount))
    raise AssertionError(call)
