"""The filters of orders and events."""

from datetime import datetime
from decimal import Decimal

import strawberry

from api.schema import enums, ids
from api.schema.orders.inputs import optional
from domain.actors import Actor
from domain.errors import InvalidInput
from domain.orders import filters
from domain.stream.event_log import EventFilter, channel_ids
from models.engine.turns import take_turn

field = strawberry.field
MOST_VALUES = 200  # that one list of an event filter may name


@strawberry.input(description="Which orders: all that is given must hold.")
class OrderFilter:
    status: list[enums.OrderStatus] | None = optional("One of these statuses.")
    payment_status: list[enums.PaymentStatus] | None = optional("One of these payment statuses.")
    fulfillment_status: list[enums.FulfillmentStatus] | None = optional("One of these fulfillment statuses.")
    source: list[enums.OrderSource] | None = optional("From one of these kinds of places.")
    channels: list[str] | None = optional("Of one of the channels with these codes.")
    archived: bool | None = optional("Only those in the archive, or only the others; by default both.")
    placed_from: datetime | None = optional("Placed at this time or later.")
    placed_to: datetime | None = optional("Placed at this time or earlier.")
    total_from: Decimal | None = optional("With a total of this amount or more, in the order's currency.")
    total_to: Decimal | None = optional("With a total of this amount or less, in the order's currency.")
    currency: str | None = optional("In this currency (ISO 4217).")
    tags: list[str] | None = optional("With one of these tags.")
    and_: list["OrderFilter"] | None = field(
        name="and", default=None, description="Those that all of these mean. Filters may be nested 5 deep."
    )
    or_: list["OrderFilter"] | None = field(name="or", default=None, description="Those that any of these means.")
    not_: "OrderFilter | None" = field(name="not", default=None, description="Those that this does not mean.")

    def to_domain(self) -> filters.OrderFilter:
        return filters.OrderFilter(
            status=self.status,
            payment_status=self.payment_status,
            fulfillment_status=self.fulfillment_status,
            source=self.source,
            channels=self.channels,
            archived=self.archived,
            placed_from=self.placed_from,
            placed_to=self.placed_to,
            total_from=self.total_from,
            total_to=self.total_to,
            currency=self.currency,
            tags=self.tags,
            all_of=None if self.and_ is None else [each.to_domain() for each in self.and_],
            any_of=None if self.or_ is None else [each.to_domain() for each in self.or_],
            none_of=None if self.not_ is None else self.not_.to_domain(),
        )


@strawberry.input(description="How a list of orders is sorted.")
class OrderSort:
    field: enums.OrderSortField = strawberry.field(
        default=enums.OrderSortField.PLACED_AT, description="What it is sorted by."
    )
    direction: enums.SortDirection = strawberry.field(
        default=enums.SortDirection.DESC, description="Which end comes first."
    )


@strawberry.input(description="Which events: all that is given must hold.")
class OrderEventFilter:
    order_ids: list[strawberry.ID] | None = optional("Of one of these orders; at most 200.")
    channels: list[str] | None = optional("Of one of the channels with these codes.")
    types: list[enums.OrderEventType] | None = optional("Of one of these types.")
    to_status: list[enums.OrderStatus] | None = optional("Those that brought an order to one of these statuses.")


async def event_filter(
    actor: Actor, given: OrderEventFilter | None, *, status_changes_only: bool = False
) -> EventFilter:
    """Return the filter for events of the actor's channels. Raise `InvalidInput`."""
    given = given or OrderEventFilter()
    for name in ("order_ids", "channels", "types", "to_status"):
        if len(getattr(given, name) or ()) > MOST_VALUES:
            raise InvalidInput(f"At most {MOST_VALUES} can be named.", "filter", name)
    await take_turn()  # two hundred ids take a millisecond to be read
    return EventFilter(
        visible_channel_ids=actor.channel_ids,
        order_ids=None
        if given.order_ids is None
        else frozenset(
            ids.decode("Order", each, "filter", "order_ids", index) for index, each in enumerate(given.order_ids)
        ),
        channel_ids=await channel_ids(actor, given.channels),
        types=None if given.types is None else frozenset(given.types),
        to_status=None if given.to_status is None else frozenset(given.to_status),
        status_changes_only=status_changes_only,
    )
