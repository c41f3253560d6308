"""Steps that are neither a shipment nor a payment, and what their events tell."""

from typing import Any

from domain.orders import commands as orders
from models.enums import CancelReason
from tests.domain.life.order import CANCELLED, OPEN, SHIPPED, ModelOrder, Refused
from tests.domain.life.replay import Replay, reads
from tests.domain.life.steps import some_text, step


@step(orders.confirm_order, weight=6, trial=())
def confirm(order: ModelOrder) -> list[str]:
    if order.status == "CONFIRMED":
        return []
    order.require("PENDING")
    order.status = "CONFIRMED"
    return ["ORDER_CONFIRMED"]


@reads("ORDER_CONFIRMED")
def _confirmed(replay: Replay, data: Any, at: str) -> None:
    replay.columns |= {"status": "CONFIRMED", "confirmed_at": at}


@step(
    orders.cancel_order,
    weight=1,
    given=lambda random: (random.choice(["FRAUD", "STAFF"]),),
    arguments=lambda keys, reason: {"reason": CancelReason(reason)},
    trial=("OTHER",),
)
def cancel(order: ModelOrder, reason: str) -> list[str]:
    if order.status == CANCELLED:
        return []
    order.require("PENDING", "CONFIRMED", "READY_TO_SHIP")
    order.status, order.reason = CANCELLED, reason
    for parcel in order.parcels_in(OPEN):
        parcel.state = CANCELLED
    for line in order.lines:
        line.free = 0
    return ["ORDER_CANCELLED", *order.void_all()]


@reads("ORDER_CANCELLED")
def _cancelled(replay: Replay, data: Any, at: str) -> None:
    replay.columns |= {"status": "CANCELLED", "cancelled_at": at, "cancel_reason": data["reason"]}
    for key, (state, units) in replay.parcels.items():
        replay.parcels[key] = ("CANCELLED" if state == "OPEN" else state, units)


@step(orders.archive_order, weight=5, trial=())
def archive(order: ModelOrder) -> list[str]:
    if order.archived:
        return []
    order.require(SHIPPED, CANCELLED)
    if order.outstanding:
        raise Refused("INVALID_TRANSITION")
    order.archived = True
    return ["ORDER_ARCHIVED"]


@reads("ORDER_ARCHIVED")
def _archived(replay: Replay, data: Any, at: str) -> None:
    replay.columns["archived_at"] = at


@step(orders.unarchive_order, weight=4, trial=())
def unarchive(order: ModelOrder) -> list[str]:
    was, order.archived = order.archived, False
    return ["ORDER_UNARCHIVED"] if was else []


@reads("ORDER_UNARCHIVED")
def _unarchived(replay: Replay, data: Any, at: str) -> None:
    replay.columns["archived_at"] = None


@step(orders.add_order_note, weight=2, given=some_text, refuses=lambda note: not note, trial=("one",), repeats=False)
def add_note(order: ModelOrder, note: str) -> list[str]:
    order.note = f"{order.note}\n{note}" if order.note else note
    return ["NOTE_ADDED"]


@reads("NOTE_ADDED")
def _note_added(replay: Replay, data: Any, at: str) -> None:
    note = replay.columns["note"]
    replay.columns["note"] = f"{note}\n{data['note']}" if note else data["note"]


@step(orders.hold_order, weight=2, given=some_text, refuses=lambda reason: not reason, trial=("one",))
def hold(order: ModelOrder, reason: str) -> list[str]:
    if order.held:
        return []
    order.held = reason
    return ["ORDER_HELD"]


@reads("ORDER_HELD")
def _held(replay: Replay, data: Any, at: str) -> None:
    replay.columns |= {"held_at": at, "hold_reason": data["reason"]}


@step(orders.release_order, weight=4, trial=())
def release(order: ModelOrder) -> list[str]:
    was, order.held = order.held, None
    return ["ORDER_RELEASED"] if was else []


@reads("ORDER_RELEASED")
def _released(replay: Replay, data: Any, at: str) -> None:
    replay.columns |= {"held_at": None, "hold_reason": None}
