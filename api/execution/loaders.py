"""Batch loading: what many rows of an answer need is fetched with one statement for all of them."""

from asyncio import Task, create_task, shield, sleep
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from domain.errors import InvalidInput
from domain.orders import asked, parts
from domain.stream import event_log
from domain.stream.event_log import Place
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
from models.engine.rows import Columns

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Loader(Generic[Key, Value]):
    """Loads each key once, and together with those that are asked for at the same time.

    Strawberry's own has a future for each key, which would be a fifth of the time that a list of 50 orders takes.
    """

    def __init__(self, load: Callable[[list[Key]], Awaitable[Sequence[Value]]]) -> None:
        self._load = load
        self._loaded: dict[Key, Value] = {}
        self._under_way: dict[Key, Task[None]] = {}
        self._next: tuple[list[Key], Task[None]] | None = None

    def prime(self, key: Key, value: Value) -> None:
        """Set the key's value, which is there already, so that it is not loaded."""
        self._loaded.setdefault(key, value)

    async def load(self, key: Key) -> Value:
        if key not in self._loaded:
            await self._arrival([key])
        return self._loaded[key]

    async def load_many(self, keys: Sequence[Key]) -> list[Value]:
        """Return the values in the order of the keys."""
        if missing := [key for key in keys if key not in self._loaded]:
            await self._arrival(missing)
        return [self._loaded[key] for key in keys]

    async def _arrival(self, keys: Sequence[Key]) -> None:
        under_way = self._under_way
        if new := [key for key in keys if key not in under_way]:
            if self._next is None:
                wanted: list[Key] = []
                self._next = wanted, create_task(self._run(wanted))
            wanted, batch = self._next
            under_way.update(dict.fromkeys(new, batch))
            wanted += dict.fromkeys(new)
        for batch in {under_way[key] for key in keys}:
            await shield(batch)  # others wait for it, too

    def cancel(self) -> set[Task[None]]:
        """Cancel the batches that are being loaded, and return them."""
        batches = {batch for batch in self._under_way.values() if not batch.done()}
        for batch in batches:
            batch.cancel()
        return batches

    async def _run(self, keys: list[Key]) -> None:
        await sleep(0)  # tasks that were woken together with the first one ask for their keys, too
        self._next = None
        self._loaded.update(zip(keys, await self._load(keys), strict=True))


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """Up to `limit` events of an order after a position in the log."""

    order_id: UUID
    after: int
    limit: int


async def _timelines(pages: Sequence[TimelinePage]) -> list[list[OrderEvent]]:
    """Load the pages, with one statement for each choice of `after` and `limit`. An operation rarely has two."""
    orders = defaultdict(list)
    for page in pages:
        orders[page.after, page.limit].append(page.order_id)
    found = {choice: await event_log.timelines(ids, after=choice[0], limit=choice[1]) for choice, ids in orders.items()}
    return [found[page.after, page.limit][page.order_id] for page in pages]


async def _find_places(cursors: Sequence[str]) -> list[Place | InvalidInput]:
    return [await _find_place(cursor) for cursor in cursors]


async def _find_place(cursor: str) -> Place | InvalidInput:
    try:
        return await event_log.find_place(cursor)
    except InvalidInput as error:  # of this cursor alone: others are found with it
        return error


class _PartLoader(Loader[UUID, Any]):
    """Of one of `domain.orders.parts`. `columns` are those that its rows have from when it has `begun`."""

    def __init__(self, load: Callable[[list[UUID], Columns], Awaitable[Sequence[Any]]], columns: Columns) -> None:
        super().__init__(self._load_columns)
        self._load_parts = load
        self.columns = columns
        self.begun = False

    async def _load_columns(self, ids: list[UUID]) -> Sequence[Any]:
        self.begun = True
        return await self._load_parts(ids, self.columns)


_SERVICES_OWN: Final = frozenset({"fulfillments", "fulfillment_lines", "lines", "tracking"})


class Loaders:
    """One set for each answer: what it has loaded is not loaded again.

    For a fulfillment service, of an order's goods only those are loaded that it is asked to ship.
    """

    def __init__(self, service_id: UUID | None = None) -> None:
        self._service_id = service_id
        self._parts: dict[str, _PartLoader] = {}

    def cancel(self) -> set[Task[None]]:
        """Cancel what is being loaded, and return it."""
        own = (each for each in vars(self).values() if isinstance(each, Loader))  # those that were asked for
        loaders: list[Loader[Any, Any]] = [*self._parts.values(), *own]
        return {batch for loader in loaders for batch in loader.cancel()}

    def _load(self, name: str) -> Callable[..., Awaitable[Sequence[Any]]]:
        if self._service_id is not None and name in _SERVICES_OWN:
            return partial(getattr(asked, name), self._service_id)
        load: Callable[..., Awaitable[Sequence[Any]]] = getattr(parts, name)
        return load

    def of(self, name: str, columns: Columns = None) -> Loader[UUID, Any]:
        """Return the loader of that function of `domain.orders.parts`, for at least these columns.

        Callers that ask at the same time for different columns share one loader, and so one statement.
        """
        loader = self._parts.get(name)
        if loader is not None:
            if loader.columns is None or (columns is not None and columns <= loader.columns):
                return loader
            columns = None if columns is None else columns | loader.columns
            if not loader.begun:
                loader.columns = columns
                return loader
        loader = self._parts[name] = _PartLoader(self._load(name), columns)
        return loader

    @property
    def orders(self) -> Loader[UUID, Order]:
        return self.of("orders")

    @property
    def channels(self) -> Loader[UUID, Channel]:
        return self.of("channels")

    @property
    def customers(self) -> Loader[UUID, Customer]:
        return self.of("customers")

    @property
    def lines(self) -> Loader[UUID, list[OrderLine]]:
        return self.of("lines")

    @property
    def addresses(self) -> Loader[UUID, list[Address]]:
        return self.of("addresses")

    @property
    def tags(self) -> Loader[UUID, list[OrderTag]]:
        return self.of("tags")

    @property
    def fulfillments(self) -> Loader[UUID, list[Fulfillment]]:
        return self.of("fulfillments")

    @property
    def delivery_notes(self) -> Loader[UUID, list[DeliveryNote]]:
        return self.of("delivery_notes")

    @property
    def services(self) -> Loader[UUID, FulfillmentService]:
        return self.of("services")

    @property
    def tracking(self) -> Loader[UUID, list[Tracking]]:
        return self.of("tracking")

    @property
    def transactions(self) -> Loader[UUID, list[Transaction]]:
        return self.of("transactions")

    @cached_property
    def fulfillment_lines(self) -> Loader[UUID, list[FulfillmentLine]]:
        return Loader(self._load("fulfillment_lines"))

    @cached_property
    def timelines(self) -> Loader[TimelinePage, list[OrderEvent]]:
        return Loader(_timelines)

    @cached_property
    def places(self) -> Loader[str, Place | InvalidInput]:
        """Return the loader of the places of cursors, or of the error that `event_log.find_place` raises."""
        return Loader(_find_places)
