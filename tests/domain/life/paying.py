"""Steps that move money, and what their events tell."""

from random import Random
from typing import Any

from domain.payments import commands as payments
from domain.payments.commands import Amount
from tests.domain.life.order import SHIPPED, ModelOrder, Refused
from tests.domain.life.replay import Replay, reads
from tests.domain.life.steps import Keys, money, step


def _amount(random: Random) -> tuple[int | None]:
    """In cents."""
    return (random.choice([None, None, None, None, 1, 500, 1000, 1000, 2500, 0, 100_000]),)


def _arguments(_: Keys, amount: int | None) -> dict[str, Any]:
    return {"amount": None if amount is None else Amount(money(amount))}


def _checked(amount: int | None, limit: int) -> int:
    if amount is not None and not 0 < amount <= limit:
        raise Refused("INVALID_INPUT")
    return limit if amount is None else amount


@step(payments.capture_payment, weight=3, given=_amount, arguments=_arguments, trial=(None,))
def capture(order: ModelOrder, amount: int | None) -> list[str]:
    order.require("PENDING", "CONFIRMED", "READY_TO_SHIP", SHIPPED)
    if amount is None and not order.outstanding:
        return []
    usable = [each for each in order.authorizations if each.left]
    if any(each.gateway != "manual" for each in usable):
        raise Refused("UNKNOWN_GATEWAY")
    left = _checked(amount, min(order.outstanding, order.authorized) if usable else order.outstanding)
    order.paid += left
    events = [] if usable else ["PAYMENT_CAPTURED"]
    for each in usable:
        part = min(left, each.left)
        each.left -= part
        left -= part
        events += ["PAYMENT_CAPTURED"] if part else []
    return events


@reads("PAYMENT_CAPTURED")
def _captured(replay: Replay, data: Any, at: str) -> None:
    amount = replay.move_money("CAPTURE", data)
    replay.columns["paid_total"] += amount
    replay.columns["authorized_total"] = max(replay.columns["authorized_total"] - amount, 0)


@reads("PAYMENT_AUTHORIZED")
def _authorized(replay: Replay, data: Any, at: str) -> None:
    replay.columns["authorized_total"] += replay.move_money("AUTHORIZATION", data)


@step(payments.record_payment, weight=3, given=_amount, arguments=_arguments, trial=(None,))
def record(order: ModelOrder, amount: int | None) -> list[str]:
    order.require("PENDING", "CONFIRMED", "READY_TO_SHIP", SHIPPED)
    if amount is None and not order.outstanding:
        return []
    order.paid += _checked(amount, order.outstanding)
    return ["PAYMENT_RECORDED"]


@reads("PAYMENT_RECORDED")
def _recorded(replay: Replay, data: Any, at: str) -> None:
    replay.columns["paid_total"] += replay.move_money("SALE", data)


@step(payments.refund_payment, weight=5, given=_amount, arguments=_arguments, trial=(None,))
def refund(order: ModelOrder, amount: int | None) -> list[str]:
    left = order.paid - order.refunded
    if amount is None and not left:
        if not order.paid:
            raise Refused("NOTHING_TO_REFUND")
        return []
    order.refunded += _checked(amount, left)
    return ["PAYMENT_REFUNDED"]


@reads("PAYMENT_REFUNDED")
def _refunded(replay: Replay, data: Any, at: str) -> None:
    replay.columns["refunded_total"] += replay.move_money("REFUND", data)


@step(payments.void_payment, weight=10, trial=())
def void(order: ModelOrder) -> list[str]:
    if not order.authorized:
        if not order.voided:
            raise Refused("NOTHING_TO_VOID")
        return []
    if any(each.left and each.gateway != "manual" for each in order.authorizations):
        raise Refused("UNKNOWN_GATEWAY")
    return order.void_all()


@reads("PAYMENT_VOIDED")
def _voided(replay: Replay, data: Any, at: str) -> None:
    replay.columns["authorized_total"] -= replay.move_money("VOID", data)
