"""Steps between the shop and fulfillment services, and what their events tell."""

from typing import Any

from domain.fulfillments import requests
from tests.domain.life.order import CANCELLED, OPEN, ModelOrder, Parcel, Refused
from tests.domain.life.replay import Replay, reads
from tests.domain.life.steps import SERVICES, key_at, some_index, some_text, step


@step(
    requests.request_fulfillments,
    weight=8,
    given=lambda random: (random.choice([None, None, *SERVICES, "nobody"]),),
    refuses=lambda service: service not in (None, *SERVICES),
    trial=(None,),
)
def request(order: ModelOrder, service: str | None) -> list[str]:
    order.require("CONFIRMED", "READY_TO_SHIP")
    wanted: dict[str, dict[int, int]] = {}
    for index, line in enumerate(order.lines):
        if line.service and line.free and service in (None, line.service):
            wanted.setdefault(line.service, {})[index] = line.free
    if not wanted and not any(parcel.request for parcel in order.parcels):
        raise Refused("NOTHING_TO_SHIP")
    for asked, units_of_service in wanted.items():
        parcel = order.pack(units_of_service)
        parcel.service, parcel.request = asked, "REQUESTED"
    return ["FULFILLMENT_REQUESTED"] * len(wanted)


@reads("FULFILLMENT_REQUESTED")
def _requested(replay: Replay, data: Any, at: str) -> None:
    replay.open_parcel(data)
    replay.requests[data["fulfillmentId"]] = ("REQUESTED", None)


def _require_open(parcel: Parcel) -> None:
    if parcel.request is None or parcel.state != OPEN:
        raise Refused("INVALID_TRANSITION")


@step(
    requests.accept_fulfillment,
    weight=7,
    given=lambda random: (some_index(random),),
    arguments=lambda keys, parcel: {"fulfillment_id": key_at(keys.parcels, parcel)},
)
def accept(order: ModelOrder, parcel: int) -> list[str]:
    asked = order.parcel_at(parcel)
    if asked.request == "ACCEPTED":
        return []
    _require_open(asked)
    asked.request = "ACCEPTED"
    return ["FULFILLMENT_ACCEPTED"]


@reads("FULFILLMENT_ACCEPTED")
def _accepted(replay: Replay, data: Any, at: str) -> None:
    replay.requests[data["fulfillmentId"]] = ("ACCEPTED", None)


@step(
    requests.reject_fulfillment,
    weight=7,
    given=lambda random: (some_index(random), *some_text(random)),
    arguments=lambda keys, parcel, reason: {"fulfillment_id": key_at(keys.parcels, parcel), "reason": reason},
    refuses=lambda parcel, reason: not reason,
)
def reject(order: ModelOrder, parcel: int, reason: str) -> list[str]:
    asked = order.parcel_at(parcel)
    if asked.request == "REJECTED":
        return []
    _require_open(asked)
    asked.request, asked.rejection, asked.state = "REJECTED", reason, CANCELLED
    order.unpack(asked)
    return ["FULFILLMENT_REJECTED"]


@reads("FULFILLMENT_REJECTED")
def _rejected(replay: Replay, data: Any, at: str) -> None:
    replay.parcels[data["fulfillmentId"]] = ("CANCELLED", replay.parcels[data["fulfillmentId"]][1])
    replay.requests[data["fulfillmentId"]] = ("REJECTED", data["reason"])
