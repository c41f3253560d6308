"""Who follows during a soak: subscribers of several kinds, and which events each kind must see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from api.commands.watching import EVERYTHING, Subscription
from tests.soak.ledger import LoggedEvent
from tests.soak.load import CHANNELS, Order

_FILTERED = """subscription ($after: String!, $filter: OrderEventFilter) {
    orderEvents(filter: $filter, after: $after) { cursor orderVersion }
}"""
_STATUSES = "subscription ($after: String!) { orderStatusChanged(after: $after) { cursor orderVersion } }"
_MUCH = " ".join(f"data{number}: data" for number in range(12))
_WIDE = f"subscription ($after: String!) {{ orderEvents(after: $after) {{ cursor {_MUCH} }} }}"


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of subscriber: what it asks for, and which events that is."""

    name: str
    subscription: Subscription
    wants: Callable[[LoggedEvent], bool] = lambda _: True

    @property
    def everything(self) -> bool:
        return self.subscription.name == EVERYTHING.name and not self.subscription.variables


WIDE = Part("everything, much of it", Subscription("orderEvents", _WIDE))


def audience(size: int, orders: Sequence[Order]) -> list[Part]:
    """So many subscribers, of all kinds; some of them follow these orders only."""
    everything = Part("everything", EVERYTHING)
    channels = [_channel(code) for code in CHANNELS]
    numbers = frozenset(order.number for order in orders)
    few = Part(
        f"{len(numbers)} orders",
        Subscription("orderEvents", _FILTERED, {"filter": {"orderIds": [order.id for order in orders]}}),
        lambda event: event.key[0] in numbers,
    )
    statuses = Part("statuses", Subscription("orderStatusChanged", _STATUSES), lambda event: event.changes_status)
    mixed = [
        everything, channels[0], _by_sse(everything), statuses, everything, few, everything, channels[1], WIDE,
        everything, _by_sse(channels[2]), everything, _by_sse(few), everything, channels[2], everything,
        _by_sse(statuses), everything, few, everything,
    ]  # fmt: skip
    return [mixed[number % len(mixed)] for number in range(size)]


def _channel(code: str) -> Part:
    return Part(
        f"the channel {code}",
        Subscription("orderEvents", _FILTERED, {"filter": {"channels": [code]}}),
        lambda event: event.channel == code,
    )


def _by_sse(part: Part) -> Part:
    return replace(part, name=f"{part.name}, by SSE", subscription=replace(part.subscription, by_sse=True))
