"""What a caller can do with an order now, and why the rest is not available."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from domain import rules
from domain.actors import Actor, Forbidden
from domain.change import Command
from domain.delivery_notes import commands as delivery_notes
from domain.fulfillments import commands as fulfillments
from domain.fulfillments import requests
from domain.orders import commands as orders
from domain.payments import commands as payments
from models.enums import OrderStatus
from models.vocabularies import Vocabulary


class ActionRefusalCode(Vocabulary):
    """Why something cannot be done with an order."""

    MISSING_SCOPE = "MISSING_SCOPE", "The caller lacks the scope of the mutation."
    NOT_FOR_SERVICES = "NOT_FOR_SERVICES", "A fulfillment service's own token cannot do it."
    NOT_ASKED = "NOT_ASKED", "The calling fulfillment service is not asked to ship anything of the order."
    WRONG_STATUS = "WRONG_STATUS", "The order's status does not allow it."
    ALREADY_DONE = "ALREADY_DONE", "The order has the status already that it would bring."
    NOTHING_TO_PACK = "NOTHING_TO_PACK", "All units lie in a fulfillment, or have left."
    NOTHING_TO_SHIP = (
        "NOTHING_TO_SHIP",
        "All units that are due have left, or those that the calling service is asked for.",
    )
    NOTHING_TO_REQUEST = "NOTHING_TO_REQUEST", "No line is left that a fulfillment service ships."
    NO_TRACKING = "NO_TRACKING", "There is no tracking number."
    NOT_PAID_IN_FULL = "NOT_PAID_IN_FULL", "Something is still to be paid."
    ARCHIVED = "ARCHIVED", "The order is in the archive."
    NOT_ARCHIVED = "NOT_ARCHIVED", "The order is not in the archive."
    ON_HOLD = "ON_HOLD", "The order is on hold."
    NOT_ON_HOLD = "NOT_ON_HOLD", "The order is not on hold."
    HAS_DELIVERY_NOTE = "HAS_DELIVERY_NOTE", "Every fulfillment has its delivery note."
    NOTHING_TO_PAY = "NOTHING_TO_PAY", "Nothing is left to pay."
    NOTHING_TO_REFUND = "NOTHING_TO_REFUND", "Nothing is left that could be given back."
    NOTHING_TO_VOID = "NOTHING_TO_VOID", "Nothing is authorized that could be given up."
    CAPTURE_UNDER_WAY = "CAPTURE_UNDER_WAY", "A gateway is being asked for what is left to pay."
    REFUND_UNDER_WAY = "REFUND_UNDER_WAY", "A gateway is being asked for a refund."
    UNKNOWN_GATEWAY = "UNKNOWN_GATEWAY", "The payment was authorized at a gateway that is not set up here."


class _Refusal(NamedTuple):
    code: ActionRefusalCode
    reason: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides on an order's actions. Amounts in minor units, the rest in units and pieces.

    `requestable_units` are those of the fulfillable ones that a fulfillment service ships.
    `fulfillments_without_note` are those that are not cancelled and have no delivery note.
    `authorized` is what can still be captured, `capturing` and `refunding` what gateways are being asked for.
    `unknown_gateways` are those that hold an authorization not captured yet and are not set up.
    `asked` is false for a fulfillment service that is not asked to ship anything of the order.
    """

    status: OrderStatus
    archived: bool
    held: bool
    outstanding: int
    refundable: int
    fulfillable_units: int
    requestable_units: int
    open_units: int
    tracking_numbers: int
    fulfillments_without_note: int
    authorized: int = 0
    capturing: int = 0
    refunding: int = 0
    unknown_gateways: frozenset[str] = frozenset()
    asked: bool = True


def _step(now: Situation, to_status: OrderStatus) -> _Refusal | None:
    if now.status is to_status:
        return _Refusal(ActionRefusalCode.ALREADY_DONE, f"The order is {to_status} already.")
    try:
        rules.require_transition(now.status, to_status)
    except rules.InvalidTransition as refusal:
        return _Refusal(ActionRefusalCode.WRONG_STATUS, refusal.message)
    return None


def _refuse_confirming(now: Situation) -> _Refusal | None:
    return _step(now, OrderStatus.CONFIRMED)


def _refuse_cancelling(now: Situation) -> _Refusal | None:
    return _step(now, OrderStatus.CANCELLED)


def _refuse_packing(now: Situation) -> _Refusal | None:
    if now.status is not OrderStatus.READY_TO_SHIP:
        refusal = _step(now, OrderStatus.READY_TO_SHIP)
        if refusal or now.fulfillable_units + now.open_units:
            return refusal
    if now.fulfillable_units:
        return None
    return _Refusal(ActionRefusalCode.NOTHING_TO_PACK, "Nothing is left to make ready.")


def _refuse_shipping(now: Situation) -> _Refusal | None:
    refusal = _step(now, OrderStatus.SHIPPED)
    if refusal or now.fulfillable_units + now.open_units:
        return refusal
    return _Refusal(ActionRefusalCode.NOTHING_TO_SHIP, "Nothing is left to ship.")


def _refuse_delivery_note(now: Situation) -> _Refusal | None:
    if now.status not in rules.TRACKABLE:
        reason = f"An order that is {now.status} cannot be given a delivery note."
        return _Refusal(ActionRefusalCode.WRONG_STATUS, reason)
    if now.fulfillments_without_note or now.fulfillable_units:
        return None
    return _Refusal(ActionRefusalCode.HAS_DELIVERY_NOTE, "Every fulfillment has its delivery note.")


def _refuse_request(now: Situation) -> _Refusal | None:
    if now.status not in rules.REQUESTABLE:
        reason = f"An order that is {now.status} cannot be given to a fulfillment service."
        return _Refusal(ActionRefusalCode.WRONG_STATUS, reason)
    return None if now.requestable_units else _Refusal(ActionRefusalCode.NOTHING_TO_REQUEST, rules.NOTHING_TO_REQUEST)


def _refuse_tracking(now: Situation) -> _Refusal | None:
    if now.status in rules.TRACKABLE:
        return None
    reason = f"An order that is {now.status} cannot be given a tracking number."
    return _Refusal(ActionRefusalCode.WRONG_STATUS, reason)


def _refuse_correcting_tracking(now: Situation) -> _Refusal | None:
    if now.tracking_numbers:
        return None
    return _Refusal(ActionRefusalCode.NO_TRACKING, "The order has no tracking number.")


def _refuse_archiving(now: Situation) -> _Refusal | None:
    if now.archived:
        return _Refusal(ActionRefusalCode.ARCHIVED, "The order is archived already.")
    reason = rules.archive_refusal(now.status, now.outstanding)
    if reason is None:
        return None
    shipped = now.status is OrderStatus.SHIPPED
    return _Refusal(ActionRefusalCode.NOT_PAID_IN_FULL if shipped else ActionRefusalCode.WRONG_STATUS, reason)


def _refuse_unarchiving(now: Situation) -> _Refusal | None:
    return None if now.archived else _Refusal(ActionRefusalCode.NOT_ARCHIVED, "The order is not archived.")


def _refuse_holding(now: Situation) -> _Refusal | None:
    return _Refusal(ActionRefusalCode.ON_HOLD, "The order is on hold already.") if now.held else None


def _refuse_releasing(now: Situation) -> _Refusal | None:
    return None if now.held else _Refusal(ActionRefusalCode.NOT_ON_HOLD, "The order is not on hold.")


def _refuse_payment(now: Situation) -> _Refusal | None:
    if now.status not in rules.PAYABLE:
        return _Refusal(ActionRefusalCode.WRONG_STATUS, f"An order that is {now.status} cannot be paid.")
    if not now.outstanding:
        return _Refusal(ActionRefusalCode.NOTHING_TO_PAY, "Nothing is left to pay.")
    if now.outstanding > now.capturing:
        return None
    return _Refusal(ActionRefusalCode.CAPTURE_UNDER_WAY, "What is left to pay is being captured.")


def _refuse_capture(now: Situation) -> _Refusal | None:
    if refusal := _refuse_payment(now):
        return refusal
    if reason := rules.capture_refusal(now.unknown_gateways):
        return _Refusal(ActionRefusalCode.UNKNOWN_GATEWAY, reason)
    return _Refusal(ActionRefusalCode.CAPTURE_UNDER_WAY, "A capture is under way.") if now.capturing else None


def _refuse_refund(now: Situation) -> _Refusal | None:
    if now.refunding:
        return _Refusal(ActionRefusalCode.REFUND_UNDER_WAY, "A refund is under way.")
    return None if now.refundable else _Refusal(ActionRefusalCode.NOTHING_TO_REFUND, "Nothing is left to refund.")


def _refuse_voiding(now: Situation) -> _Refusal | None:
    if not now.authorized:
        return _Refusal(ActionRefusalCode.NOTHING_TO_VOID, rules.NOTHING_TO_VOID)
    reason = rules.void_refusal(now.unknown_gateways)
    return None if reason is None else _Refusal(ActionRefusalCode.UNKNOWN_GATEWAY, reason)


def _refuse_nothing(_: Situation) -> None:
    return None


class OrderAction(Vocabulary):
    """Something that can be done with an order."""

    def __init__(
        self, text: str, mutation: str, command: Command[..., Any], refuse: Callable[[Situation], _Refusal | None]
    ) -> None:
        """Declare an action by its mutation, which describes it, its command, and what says why it is unavailable."""
        self.command = command
        self.refuse = refuse

    CONFIRM = "CONFIRM", "confirmOrder", orders.confirm_order, _refuse_confirming
    CANCEL = "CANCEL", "cancelOrder", orders.cancel_order, _refuse_cancelling
    MARK_READY_TO_SHIP = "MARK_READY_TO_SHIP", "markReadyToShip", fulfillments.mark_ready_to_ship, _refuse_packing
    CREATE_DELIVERY_NOTE = (
        "CREATE_DELIVERY_NOTE",
        "createDeliveryNote",
        delivery_notes.create_delivery_note,
        _refuse_delivery_note,
    )
    REQUEST_FULFILLMENT = "REQUEST_FULFILLMENT", "requestFulfillment", requests.request_fulfillments, _refuse_request
    MARK_SHIPPED = "MARK_SHIPPED", "markShipped", fulfillments.mark_shipped, _refuse_shipping
    ADD_TRACKING = "ADD_TRACKING", "addTracking", fulfillments.add_tracking, _refuse_tracking
    UPDATE_TRACKING = "UPDATE_TRACKING", "updateTracking", fulfillments.update_tracking, _refuse_correcting_tracking
    REMOVE_TRACKING = "REMOVE_TRACKING", "removeTracking", fulfillments.remove_tracking, _refuse_correcting_tracking
    ARCHIVE = "ARCHIVE", "archiveOrder", orders.archive_order, _refuse_archiving
    UNARCHIVE = "UNARCHIVE", "unarchiveOrder", orders.unarchive_order, _refuse_unarchiving
    ADD_NOTE = "ADD_NOTE", "addOrderNote", orders.add_order_note, _refuse_nothing
    HOLD = "HOLD", "holdOrder", orders.hold_order, _refuse_holding
    RELEASE = "RELEASE", "releaseOrder", orders.release_order, _refuse_releasing
    CAPTURE_PAYMENT = "CAPTURE_PAYMENT", "capturePayment", payments.capture_payment, _refuse_capture
    RECORD_PAYMENT = "RECORD_PAYMENT", "recordPayment", payments.record_payment, _refuse_payment
    REFUND_PAYMENT = "REFUND_PAYMENT", "refundPayment", payments.refund_payment, _refuse_refund
    VOID_PAYMENT = "VOID_PAYMENT", "voidPayment", payments.void_payment, _refuse_voiding


@dataclass(frozen=True, slots=True)
class AvailableAction:
    action: OrderAction
    available: bool
    reason: str | None
    code: ActionRefusalCode | None


_AVAILABLE: Final = {action: AvailableAction(action, True, None, None) for action in OrderAction}


def available_actions(now: Situation, actor: Actor) -> list[AvailableAction]:
    """Return every action in lifecycle order; those that are not available carry the reason.

    An action that would be answered as a repetition, which changes nothing, is not available.
    """
    return [
        _AVAILABLE[action] if refusal is None else AvailableAction(action, False, refusal.reason, refusal.code)
        for action in OrderAction
        for refusal in (_refuse_caller(action.command, now, actor) or action.refuse(now),)
    ]


def _refuse_caller(command: Command[..., Any], now: Situation, actor: Actor) -> _Refusal | None:
    if command.scope not in actor.scopes:
        return _Refusal(ActionRefusalCode.MISSING_SCOPE, str(Forbidden.without(command.scope)))
    if actor.service_id is None:
        return None
    if not command.services_too:
        return _Refusal(ActionRefusalCode.NOT_FOR_SERVICES, str(Forbidden.for_services()))
    if not now.asked:
        return _Refusal(ActionRefusalCode.NOT_ASKED, "You are not asked to ship anything of this order.")
    return None
