"""Steps that pack, ship and track, and what their events tell."""

from collections.abc import Sequence
from random import Random
from typing import Any

from domain.delivery_notes.commands import create_delivery_note
from domain.fulfillments import commands as fulfillments
from domain.fulfillments.commands import KEEP, TrackingInfo
from tests.domain.life.order import CANCELLED, OPEN, SHIPPED, ModelOrder, Number, Parcel, Refused
from tests.domain.life.replay import Replay, reads
from tests.domain.life.replay import units as units_in
from tests.domain.life.steps import Keys, key_at, some_index, step, units
from tests.domain.shop import ISSUER

Lines = Sequence[tuple[int, int]] | None


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


@step(
    fulfillments.mark_ready_to_ship,
    weight=7,
    given=lambda random: (_lines(random),),
    arguments=lambda keys, lines: {"lines": units(keys, lines)},
    trial=(None,),
)
def ready(order: ModelOrder, lines: Lines) -> list[str]:
    order.require("CONFIRMED", "READY_TO_SHIP")
    wanted = order.free() if lines is None else order.read(lines)
    packed = [parcel for parcel in order.parcels_in(OPEN) if parcel.units == wanted]
    if packed and not order.fits(wanted):
        wanted = {}
    if not wanted and order.status == "READY_TO_SHIP":
        return []
    if not wanted and not order.parcels_in(OPEN):
        raise Refused("NOTHING_TO_SHIP")
    if not order.fits(wanted):
        raise Refused("INVALID_INPUT")
    if wanted:
        order.pack(wanted)
    was, order.status = order.status, "READY_TO_SHIP"
    return ["FULFILLMENT_OPENED" if was == "READY_TO_SHIP" else "ORDER_READY_TO_SHIP"]


@reads("ORDER_READY_TO_SHIP")
def _ready(replay: Replay, data: Any, at: str) -> None:
    replay.columns["status"] = "READY_TO_SHIP"
    if data["fulfillmentId"]:
        replay.open_parcel(data)


@reads("FULFILLMENT_OPENED")
def _opened(replay: Replay, data: Any, at: str) -> None:
    replay.open_parcel(data)


def _shipment(random: Random) -> tuple[Any, ...]:
    numbers = tuple(_number(random) for _ in range(random.choice([0, 0, 0, 1, 2])))
    return _lines(random), _parcel(random), numbers


def _shipment_arguments(keys: Keys, lines: Lines, parcel: int | None, numbers: Sequence[str]) -> dict[str, Any]:
    return {
        "lines": units(keys, lines),
        "fulfillment_id": key_at(keys.parcels, parcel),
        "tracking": [TrackingInfo(number) for number in numbers],
    }


@step(
    fulfillments.mark_shipped,
    weight=10,
    given=_shipment,
    arguments=_shipment_arguments,
    refuses=lambda lines, parcel, numbers: "" in numbers,
    trial=(None, None, ()),
)
def ship(order: ModelOrder, lines: Lines, parcel: int | None, numbers: Sequence[str]) -> list[str]:
    wanted = None if lines is None else order.read(lines)
    named = order.parcel(parcel)
    if _was_shipped(order, wanted, named):
        if set(numbers) - {each.number for each in order.numbers if not each.removed}:
            raise Refused("INVALID_TRANSITION")
        return []
    order.require("CONFIRMED", "READY_TO_SHIP", SHIPPED)
    leaving = _leaving(order, wanted, named)
    if numbers and len(leaving) > 1:
        raise Refused("INVALID_INPUT")
    events = []
    for number in numbers:
        events += _track(order, leaving[0], number, None)
    for each in leaving:
        each.state = SHIPPED
        for line, count in each.units.items():
            order.lines[line].shipped += count
        events.append("FULFILLMENT_SHIPPED")
    if order.fulfillment_status == "FULFILLED":
        order.status = SHIPPED
        events[-1] = "ORDER_SHIPPED"
    return events


def _was_shipped(order: ModelOrder, wanted: dict[int, int] | None, named: Parcel | None) -> bool:
    if named is not None:
        return named.state == SHIPPED and wanted in (None, named.units)
    if wanted is None:
        return order.status == SHIPPED
    nothing_follows = all(order.lines[line].shipped == order.lines[line].due for line in wanted)
    return nothing_follows and wanted in [parcel.units for parcel in order.parcels_in(SHIPPED)]


def _leaving(order: ModelOrder, wanted: dict[int, int] | None, named: Parcel | None) -> list[Parcel]:
    waiting = order.parcels_in(OPEN)
    if named is not None and named.state != OPEN:
        raise Refused("INVALID_TRANSITION")
    if wanted is None:
        return [named] if named else waiting or [order.pack_rest()]
    if named is None:
        named = next((parcel for parcel in waiting if parcel.units == wanted), None)
        if named is None and not order.fits(wanted):
            possible = [parcel for parcel in waiting if order.fits(wanted, parcel)]
            if len(possible) != 1:
                raise Refused("INVALID_INPUT")
            [named] = possible
    if not order.fits(wanted, named):
        raise Refused("INVALID_INPUT")
    if named is None:
        return [order.pack(wanted)]
    order.unpack(named)
    for line, count in wanted.items():
        order.lines[line].free -= count
    named.units = wanted
    return [named]


@reads("FULFILLMENT_SHIPPED")
def _part_shipped(replay: Replay, data: Any, at: str) -> None:
    replay.parcels[data["fulfillmentId"]] = ("SHIPPED", units_in(data))
    for line, count in units_in(data).items():
        replay.shipped[line] += count


@reads("ORDER_SHIPPED")
def _shipped(replay: Replay, data: Any, at: str) -> None:
    _part_shipped(replay, data, at)
    replay.columns |= {"status": "SHIPPED", "shipped_at": at}


@step(
    fulfillments.add_tracking,
    weight=6,
    given=lambda random: (_number(random), _carrier(random), _parcel(random)),
    arguments=lambda keys, number, carrier, parcel: {
        "info": TrackingInfo(number, carrier),
        "fulfillment_id": key_at(keys.parcels, parcel),
    },
    refuses=lambda number, carrier, parcel: not number,
)
def add_tracking(order: ModelOrder, number: str, carrier: str | None, parcel: int | None) -> list[str]:
    order.require("CONFIRMED", "READY_TO_SHIP", SHIPPED)
    named = order.parcel(parcel)
    events = []
    if named is None:
        candidates = order.parcels_in(OPEN) or order.parcels_in(SHIPPED)
        if len(candidates) > 1:
            raise Refused("INVALID_INPUT")
        if not candidates:
            candidates = [order.pack_rest()]
            events.append("FULFILLMENT_OPENED")
        [named] = candidates
    if named.state == CANCELLED:
        raise Refused("INVALID_TRANSITION")
    return events + _track(order, named, number, carrier)


def _numbered(order: ModelOrder, parcel: int, number: str) -> Number | None:
    found = [each for each in order.numbers if not each.removed and (each.parcel, each.number) == (parcel, number)]
    return found[0] if found else None


def _track(order: ModelOrder, parcel: Parcel, number: str, carrier: str | None) -> list[str]:
    index = order.index(parcel)
    known = _numbered(order, index, number)
    if known is None:
        order.numbers.append(Number(index, number, carrier))
        return ["TRACKING_ADDED"]
    if carrier not in (None, known.carrier):
        raise Refused("INVALID_INPUT")
    return []


@reads("TRACKING_ADDED")
def _tracking_added(replay: Replay, data: Any, at: str) -> None:
    assert data["trackingId"] not in replay.every_number
    replay.every_number.append(data["trackingId"])
    _tell_number(replay, data)


def _tell_number(replay: Replay, data: Any) -> None:
    replay.numbers[data["trackingId"]] = (data["fulfillmentId"], data["number"], data["carrier"], data["url"])


@step(
    create_delivery_note,
    weight=3,
    given=lambda random: (_parcel(random), random.choice([None, None, some_index(random)])),
    arguments=lambda keys, parcel, replaces: {
        "issuer": ISSUER,
        "fulfillment_id": key_at(keys.parcels, parcel),
        "replaces": key_at(keys.notes, replaces),
    },
)
def create_note(order: ModelOrder, parcel: int | None, replaces: int | None) -> list[str]:
    order.require("CONFIRMED", "READY_TO_SHIP", SHIPPED)
    events, replaced = [], 0
    if replaces is not None:
        if replaces >= len(order.notes):
            raise Refused("NOT_FOUND")
        of, replaced = order.notes[replaces]
        if parcel not in (None, of):
            raise Refused("INVALID_INPUT")
    elif parcel is not None:
        order.parcel_at(parcel)
        of = parcel
    else:
        candidates = order.parcels_in(OPEN) or ([] if order.free() else order.parcels_in(SHIPPED))
        if len(candidates) > 1:
            raise Refused("INVALID_INPUT")
        if not candidates:
            candidates = [order.pack_rest()]
            events.append("FULFILLMENT_OPENED")
        of = order.index(candidates[0])
    newest = sum(each == of for each, _ in order.notes)
    if newest > replaced:
        return []
    order.notes.append((of, newest + 1))
    return [*events, "DELIVERY_NOTE_CREATED"]


@reads("DELIVERY_NOTE_CREATED")
def _note_created(replay: Replay, data: Any, at: str) -> None:
    if data["replacesId"]:
        assert replay.notes[data["replacesId"]] == (data["fulfillmentId"], data["replacesNumber"])
    replay.notes[data["deliveryNoteId"]] = (data["fulfillmentId"], data["number"])


@step(
    fulfillments.update_tracking,
    weight=5,
    given=lambda random: (some_index(random), random.choice([None, _number(random)]), _carrier(random)),
    arguments=lambda keys, index, number, carrier: {
        "tracking_id": key_at(keys.numbers, index),
        "number": KEEP if number is None else number,
        "carrier": carrier,
    },
)
def update_tracking(order: ModelOrder, index: int, number: str | None, carrier: str | None) -> list[str]:
    """`None` leaves the number as it is, and takes the carrier away."""
    if index >= len(order.numbers) or order.numbers[index].removed:
        raise Refused("NOT_FOUND")
    tracking = order.numbers[index]
    number = tracking.number if number is None else number
    if not number:
        raise Refused("INVALID_INPUT")
    if (number, carrier) == (tracking.number, tracking.carrier):
        return []
    if number != tracking.number and _numbered(order, tracking.parcel, number):
        raise Refused("INVALID_INPUT")
    tracking.number, tracking.carrier = number, carrier
    return ["TRACKING_UPDATED"]


@reads("TRACKING_UPDATED")
def _tracking_updated(replay: Replay, data: Any, at: str) -> None:
    assert replay.numbers[data["trackingId"]][1] == data["previousNumber"]
    _tell_number(replay, data)


@step(
    fulfillments.remove_tracking,
    weight=3,
    given=lambda random: (some_index(random),),
    arguments=lambda keys, index: {"tracking_id": key_at(keys.numbers, index)},
)
def remove_tracking(order: ModelOrder, index: int) -> list[str]:
    if index >= len(order.numbers):
        raise Refused("NOT_FOUND")
    was, order.numbers[index].removed = order.numbers[index].removed, True
    return [] if was else ["TRACKING_REMOVED"]


@reads("TRACKING_REMOVED")
def _tracking_removed(replay: Replay, data: Any, at: str) -> None:
    assert replay.numbers.pop(data["trackingId"])[1] == data["number"]
