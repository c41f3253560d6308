"""Batch loading: what many rows of an answer need is fetched with one statement for all of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from strawberry.dataloader import DataLoader

from domain import event_log
from domain.orders import parts
from models import (
    Address,
    Channel,
    Customer,
    DeliveryNote,
    Fulfillment,
    FulfillmentLine,
    FulfillmentService,
    Order,
    OrderEvent,
    OrderLine,
    OrderTag,
    Tracking,
    Transaction,
)


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """Up to `limit` events of an order after a place in the log."""

    order_id: UUID
    after: int
    limit: int


async def _timelines(pages: Sequence[TimelinePage]) -> list[list[OrderEvent]]:
    """One statement for each choice of `after` and `limit`: an operation rarely has two."""
    orders = defaultdict(list)
    for page in pages:
        orders[page.after, page.limit].append(page.order_id)
    found = {choice: await event_log.timelines(ids, after=choice[0], limit=choice[1]) for choice, ids in orders.items()}
    return [found[page.after, page.limit][page.order_id] for page in pages]


class Loaders:
    """One set for each answer: what it has loaded is not loaded again."""

    @cached_property
    def orders(self) -> DataLoader[UUID, Order]:
        return DataLoader(parts.orders)

    @cached_property
    def channels(self) -> DataLoader[UUID, Channel]:
        return DataLoader(parts.channels)

    @cached_property
    def customers(self) -> DataLoader[UUID, Customer]:
        return DataLoader(parts.customers)

    @cached_property
    def lines(self) -> DataLoader[UUID, list[OrderLine]]:
        return DataLoader(parts.lines)

    @cached_property
    def addresses(self) -> DataLoader[UUID, list[Address]]:
        return DataLoader(parts.addresses)

    @cached_property
    def tags(self) -> DataLoader[UUID, list[OrderTag]]:
        return DataLoader(parts.tags)

    @cached_property
    def fulfillments(self) -> DataLoader[UUID, list[Fulfillment]]:
        return DataLoader(parts.fulfillments)

    @cached_property
    def fulfillment_lines(self) -> DataLoader[UUID, list[FulfillmentLine]]:
        return DataLoader(parts.fulfillment_lines)

    @cached_property
    def delivery_notes(self) -> DataLoader[UUID, list[DeliveryNote]]:
        return DataLoader(parts.delivery_notes)

    @cached_property
    def services(self) -> DataLoader[UUID, FulfillmentService]:
        return DataLoader(parts.services)

    @cached_property
    def tracking(self) -> DataLoader[UUID, list[Tracking]]:
        return DataLoader(parts.tracking)

    @cached_property
    def timelines(self) -> DataLoader[TimelinePage, list[OrderEvent]]:
        return DataLoader(_timelines)

    @cached_property
    def transactions(self) -> DataLoader[UUID, list[Transaction]]:
        return DataLoader(parts.transactions)
