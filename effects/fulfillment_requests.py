"""Signed calls to fulfillment services."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from standardwebhooks import Webhook

from domain.actors import Actor
from domain.egress import BadDestination
from domain.fulfillments.services import signing_secrets
from domain.global_ids import global_id
from domain.naming import camel
from effects.effect import GivenUp, Planned, TryAgain, finish, remember
from effects.outgoing import Answer, CallFailed, Outgoing
from models import Address, Channel, Effect, Fulfillment, FulfillmentLine, FulfillmentService, Order, OrderEvent
from models.enums import ActorKind, AddressKind, EffectKind, EffectState, FulfillmentState, OrderEventType

SECONDS: Final = 15.0  # for the whole call

_GONE: Final = 410
_TRY_LATER: Final = (429, 503)  # which may come with Retry-After

_NOTIFIER: Final = Actor(kind=ActorKind.AUTOMATION, id=None, name="fulfillment request", scopes=frozenset())
_ADDRESS: Final = (
    "name",
    "company",
    "address1",
    "address2",
    "postal_code",
    "city",
    "province",
    "country_code",
    "phone",
)


@dataclass(frozen=True, slots=True)
class Topic:
    """What a service is called about. The name is the `type` of the call's body.

    The call follows from an event: about the fulfillment that the event names, or about all of the order that a service
    was asked for. When its turn comes, it is only made if the fulfillment is in that state.
    """

    name: str
    after: OrderEventType
    state: FulfillmentState


TOPICS: Final = (Topic("fulfillment.requested", OrderEventType.FULFILLMENT_REQUESTED, FulfillmentState.OPEN),)
_BY_EVENT: Final = {topic.after: topic for topic in TOPICS}


class NotTaken(Exception):
    """The service works, but refused this call. It may accept it later."""


class FulfillmentRequests:
    """Posts to the services' URLs, as Standard Webhooks (https://www.standardwebhooks.com) defines it.

    The call's `webhook-id` and its body are the same in each attempt, so that a service can ignore what it knows. Only
    `webhook-timestamp`, and with it the signature, is the attempt's own. Services without a URL get an e-mail instead.
    `close` ends the connections.
    """

    kind: ClassVar[EffectKind] = EffectKind.FULFILLMENT_REQUEST

    def __init__(self, outgoing: Outgoing, seconds: float = SECONDS) -> None:
        self._outgoing = outgoing
        self._seconds = seconds

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        return [
            (event, Planned(target=str(fulfillment.id), counterpart=fulfillment.service.code))
            for event in events
            if event.type in _BY_EVENT
            for fulfillment in await _fulfillments(event)
            if fulfillment.service.url
        ]

    async def carry_out(self, effect: Effect) -> None:
        """Call the service. Any 2xx status is success, whatever else it answers.

        Raise GivenUp if the service is gone (HTTP 410) or if its URL is not allowed, because only a person can change
        that. Raise TryAgain, NotTaken or CallFailed if a later attempt may succeed.
        """
        fulfillment = await Fulfillment.get(id=UUID(effect.target)).select_related("service", "order")
        event = await OrderEvent.get(id=effect.event_id)
        topic = _BY_EVENT[event.type]
        if fulfillment.state is topic.state and fulfillment.service.url:
            if "body" not in effect.data:
                await remember(effect, body=await _body(topic, event, fulfillment))
            await self._post(effect, fulfillment.service, effect.data["body"])
        await finish(effect, _NOTIFIER, data={})  # the body has an address in it, and is needed no longer

    async def _post(self, effect: Effect, service: FulfillmentService, body: str) -> None:
        assert service.url
        now = datetime.now(UTC)
        signatures = [Webhook(each).sign(str(effect.id), now, body) for each in signing_secrets(service)]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": str(effect.id),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        try:
            answer = await self._outgoing.call(
                "POST", service.url, headers=headers, content=body.encode(), seconds=self._seconds
            )
        except BadDestination as error:
            raise GivenUp(f"{service.name} cannot be called: {error}") from error
        _require_success(service.name, answer)

    async def give_up(self, effect: Effect, reason: str) -> None:
        """Leave the fulfillment requested: a person asks again, or rejects it in the service's place."""
        await finish(effect, _NOTIFIER, state=EffectState.FAILED, error=reason)

    async def close(self) -> None:
        await self._outgoing.close()


def _require_success(name: str, answer: Answer) -> None:
    if 200 <= answer.status < 300:
        return
    if answer.status == _GONE:
        raise GivenUp(f"{name} does not take requests any more (HTTP 410)")
    message = f"{name} answered with HTTP {answer.status}"
    if answer.status in _TRY_LATER and answer.retry_after is not None:
        raise TryAgain(message, answer.retry_after)
    raise CallFailed(message) if answer.status in _TRY_LATER or answer.status >= 500 else NotTaken(message)


async def _fulfillments(event: OrderEvent) -> list[Fulfillment]:
    """Return the fulfillments that the event is about and that a service was asked for."""
    key = event.data.get("fulfillmentId")
    about = {"id": UUID(key)} if key else {"order_id": event.order_id}
    return await Fulfillment.filter(**about, service_id__not_isnull=True).select_related("service")


async def _body(topic: Topic, event: OrderEvent, fulfillment: Fulfillment) -> str:
    data = await _data(fulfillment, fulfillment.order)
    return json.dumps({"type": topic.name, "timestamp": event.occurred_at.isoformat(), "data": data})


async def _data(fulfillment: Fulfillment, order: Order) -> dict[str, Any]:
    """Return the fulfillment, with the ids by which the service answers."""
    lines = await FulfillmentLine.filter(fulfillment_id=fulfillment.id).select_related("order_line")
    address = await Address.get_or_none(order_id=order.id, kind=AddressKind.SHIPPING)
    return {
        "orderId": global_id("Order", order.id),
        "fulfillmentId": global_id("Fulfillment", fulfillment.id),
        "orderNumber": str(order.number),
        "externalNumber": order.external_number,
        "channel": (await Channel.get(id=order.channel_id)).code,
        "locale": order.locale,
        "shippingAddress": None if address is None else {camel(name): getattr(address, name) for name in _ADDRESS},
        "lines": [
            {
                "lineId": global_id("OrderLine", each.order_line_id),
                "sku": each.order_line.sku,
                "title": each.order_line.title,
                "variantTitle": each.order_line.variant_title,
                "quantity": each.quantity,
            }
            for each in sorted(lines, key=lambda line: line.order_line.position)
        ],
    }
