"""The subscriptions. Each checks the scope that it needs."""

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Annotated

import strawberry

from api.execution.context import Info
from api.execution.subscriptions import EventSource
from api.schema.orders.counts import OrderCounts
from api.schema.orders.filters import OrderEventFilter, event_filter
from api.schema.orders.queries import EventFilterArgument, Filter, show_counts
from api.schema.orders.types import OrderEvent
from domain.actors import Scope

COUNTS_SECONDS = 1.0  # at most one count in this time

After = Annotated[
    str | None,
    strawberry.argument(
        description="The cursor of the last event that was seen, or liveCursor: the events since come first."
        ' "now", or nothing: from here on.'
    ),
]


async def _events(
    info: Info, given: OrderEventFilter | None, after: str | None, *, status_changes_only: bool = False
) -> EventSource[OrderEvent]:
    actor = info.context.require(Scope.ORDERS_READ)
    wanted = await event_filter(actor, given, status_changes_only=status_changes_only)
    return EventSource(info.context.server.feed, wanted, after, OrderEvent.of)


@strawberry.type(description="Everything that can be followed live, without gaps: resume with after.")
class OrderSubscriptions:
    @strawberry.subscription(description="Changes of one of the three statuses, or of the archive flag.")
    async def order_status_changed(
        self, info: Info, filter: EventFilterArgument = None, after: After = None
    ) -> AsyncIterable[OrderEvent]:
        return await _events(info, filter, after, status_changes_only=True)

    @strawberry.subscription(description="Everything that happens to orders.")
    async def order_events(
        self, info: Info, filter: EventFilterArgument = None, after: After = None
    ) -> AsyncIterable[OrderEvent]:
        return await _events(info, filter, after)

    @strawberry.subscription(description="The counts now, and whenever they change: at most one a second.")
    async def order_counts_changed(self, info: Info, filter: Filter = None) -> AsyncGenerator[OrderCounts, None]:
        actor = info.context.require(Scope.ORDERS_READ)
        last = None
        async for counts in info.context.server.counting.follow(actor, filter.to_domain() if filter else None):
            if counts != last:
                last = counts
                yield show_counts(counts)
            await info.context.pay_again()
