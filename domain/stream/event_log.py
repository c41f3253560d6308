"""The event log: written by many at the same time, and read in one order from any position.

An event's position is its id, a number that the database gives it when it is written. On SQLite writers come one after
another. On PostgreSQL they do not wait for each other, and a lower number may become visible after a higher one. So
each writer says in advance, with an advisory lock that ends with its transaction, above which number its own will be.
No event is shown while a lower one may still come (the horizon).

docs/decisions/0002-order-of-the-log.md compares other ways.
"""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from tortoise.connection import get_connection
from tortoise.expressions import Q, RawSQL

from domain import cursors
from domain.actors import Actor
from domain.channels import find_channels
from domain.errors import InvalidInput
from models import Order, OrderEvent
from models.engine import rows
from models.engine.errors import DatabaseUnavailable
from models.engine.statements import Write, insert, is_postgres
from models.engine.turns import take_turn
from models.enums import OrderEventType, OrderStatus

NOW: Final = "now"  # in place of a cursor: the log's end

_CURSOR = "event"
_LARGEST_POSITION = 2**63 - 1
_LARGEST_FINGERPRINT = 2**32 - 1

SETTLE_SECONDS: Final = 5.0  # for which a page waits for the writers of the events before its last
_LOOK_SECONDS: Final = 0.002

# The advisory locks of writers: this in the upper 16 bits, the last number given before they wrote in the lower 48.
_WRITING: Final = 0x4F53

_ANNOUNCE: Final = f"""
    SELECT pg_advisory_xact_lock_shared(({_WRITING}::bigint << 48) + last_value - CASE WHEN is_called THEN 0 ELSE 1 END)
    FROM order_events_id_seq
"""  # noqa: S608 - a number of ours

# The last number that was given must be read before the locks: who takes a lock later is given higher ones. That is
# why it is materialized, and why the search for locks depends on it.
_HORIZON: Final = """
    WITH given AS MATERIALIZED (
        SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END AS id FROM order_events_id_seq
    )
    SELECT LEAST(given.id, (
        SELECT MIN(((classid::bigint & 65535) << 32) | objid::bigint) FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = $1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND given.id IS NOT NULL
    )) AS id FROM given
"""


class CursorExpired(InvalidInput):
    """The log does not have this cursor's event, so it cannot be continued without a gap."""

    def __init__(self) -> None:
        super().__init__(
            "The event log does not have this cursor's event, or all that came after it. Read the orders anew.", "after"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the log: behind the event whose id is `position`, or before the first event if that is 0.

    `fingerprint` is that event's. After a restore or a failover, another event may have the same id. It is None at 0,
    and for cursors made before cursors had one.
    """

    position: int
    fingerprint: int | None = None

    @property
    def cursor(self) -> str:
        """The cursor after which a subscription or a page resumes."""
        return cursor_at(self.position) if self.fingerprint is None else _cursor(self.position, self.fingerprint)


BEGINNING: Final = Place(0)


def cursor_at(position: int) -> str:
    """Return the cursor of a place whose fingerprint is not known."""
    return cursors.encode(_CURSOR, position)


def cursor_of(event: OrderEvent) -> str:
    """Return the cursor of an event, after which a subscription or a page resumes."""
    return cursor_after(event.id, event.order_id, event.occurred_at)


def cursor_after(position: int, order_id: UUID, occurred_at: datetime) -> str:
    """Return the cursor of the event with these columns."""
    return _cursor(position, fingerprint(order_id, occurred_at))


def _cursor(position: int, fingerprint: int) -> str:
    return cursors.encode(_CURSOR, position, fingerprint)


def place_of(event: OrderEvent) -> Place:
    """Return the place behind the event."""
    return Place(event.id, fingerprint(event.order_id, event.occurred_at))


def fingerprint(order_id: UUID, occurred_at: datetime) -> int:
    """Return 32 bits that tell an event from another one with the same id in another history of the log."""
    return zlib.crc32(order_id.bytes, int(occurred_at.timestamp() * 1_000_000) & _LARGEST_FINGERPRINT)


def parse_cursor(cursor: str) -> Place:
    """Return the place that a cursor names. Raise `InvalidInput` if it is no cursor."""
    position, given = cursors.decode(cursor, _CURSOR, 1, "after", optional=1)
    if not _is_number(position, _LARGEST_POSITION) or not (given is None or _is_number(given, _LARGEST_FINGERPRINT)):
        raise InvalidInput("This is not a cursor of this list.", "after")
    return Place(position, given)


def _is_number(value: Any, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selects events: those for which all given conditions hold.

    None leaves an axis open; an empty collection matches nothing. `visible_channel_ids` are the channels that exist for
    the caller (`Actor.channel_ids`).
    """

    visible_channel_ids: frozenset[UUID] | None = None
    order_ids: frozenset[UUID] | None = None
    channel_ids: frozenset[UUID] | None = None
    types: frozenset[OrderEventType] | None = None
    to_status: frozenset[OrderStatus] | None = None
    status_changes_only: bool = False

    @property
    def channels(self) -> frozenset[UUID] | None:
        """Return the channels whose events it can match, or None for all."""
        if self.visible_channel_ids is None or self.channel_ids is None:
            return self.channel_ids if self.visible_channel_ids is None else self.visible_channel_ids
        return self.visible_channel_ids & self.channel_ids

    def matches(self, event: OrderEvent) -> bool:
        return (
            (self.visible_channel_ids is None or event.channel_id in self.visible_channel_ids)
            and (self.order_ids is None or event.order_id in self.order_ids)
            and (self.channel_ids is None or event.channel_id in self.channel_ids)
            and (self.types is None or event.type in self.types)
            and (self.to_status is None or event.to_status in self.to_status)
            and (not self.status_changes_only or event.changes_status)
        )

    def query(self) -> Q:
        """Return the filter as a query, without `status_changes_only`: the rows that it finds must still be matched."""
        query = Q()
        for column, values in (
            ("channel_id", self.visible_channel_ids),
            ("order_id", self.order_ids),
            ("channel_id", self.channel_ids),
            ("type", self.types),
            ("to_status", self.to_status),
        ):
            if values is not None:
                condition: dict[str, Any] = {f"{column}__in": list(values)}
                query &= Q(**condition)
        return query


async def channel_ids(actor: Actor, codes: Collection[str] | None) -> frozenset[UUID] | None:
    """Return the channels with these codes that exist for the caller; None if no codes are given."""
    if codes is None:
        return None
    return frozenset(channel.id for channel in await find_channels(actor, codes))


def appending(events: Sequence[Mapping[str, Any]]) -> Write:
    """Return the statement that appends events. It must be a change's last, because nobody reads beyond it until the
    commit.
    """
    return insert(OrderEvent, events, after=_ANNOUNCE if is_postgres() else None)


async def _horizon() -> int:
    """Return the position up to which no event will be written any more."""
    if not is_postgres():
        return _LARGEST_POSITION
    connection: Any = get_connection("default")
    [row] = await connection.fetch(_HORIZON, [_WRITING])
    return int(row["id"])


async def last_place() -> Place:
    """Return the place behind the newest event that may be shown. What is read from now on has all up to there."""
    settled = OrderEvent.filter(id__lte=await _horizon())
    newest = await settled.order_by("-id").first().only("id", "order_id", "occurred_at")
    return place_of(newest) if newest else BEGINNING


async def find_place(after: str) -> Place:
    """Return the place of a cursor, or the log's end for `NOW`.

    Raise `InvalidInput` if it is no cursor, and `CursorExpired` if the log does not have all that came after it.
    """
    if after == NOW:
        return await last_place()
    place = parse_cursor(after)
    if not await _has(place):
        raise CursorExpired
    return place


async def _has(place: Place) -> bool:
    """Return whether the log has all that came after the place, in the same history."""
    if place.fingerprint is None:
        return await _keeps(place.position) and (not place.position or await OrderEvent.exists(id__gte=place.position))
    event = await OrderEvent.filter(id=place.position).first().only("order_id", "occurred_at")
    return event is not None and fingerprint(event.order_id, event.occurred_at) == place.fingerprint


async def require_kept(position: int) -> None:
    """Raise `CursorExpired` if the log no longer has all that came after this position."""
    if not await _keeps(position):
        raise CursorExpired


async def _keeps(position: int) -> bool:
    oldest = await OrderEvent.all().order_by("id").first().only("id")
    if oldest is not None and position >= oldest.id - 1:
        return True
    return position == 0 and await _reaches_back()


async def _reaches_back() -> bool:
    """Return whether the log is whole. Its first number says nothing: a failed change may have used lower ones."""
    first = await Order.all().order_by("number").first().only("id")
    return first is None or await OrderEvent.exists(order_id=first.id, order_version=1)


async def read_after(place: Place, *, limit: int) -> list[OrderEvent]:
    """Return what `read_on` does. Raise `CursorExpired` if the log does not have the place's event any more."""
    if place.fingerprint is None:
        return await read_on(after=place.position, limit=limit)
    events = await read_on(after=place.position - 1, limit=limit + 1)
    if not events or place_of(events[0]) != place:
        raise CursorExpired
    return events[1:]


async def read_on(*, after: int, limit: int) -> list[OrderEvent]:
    """Return the next events of all orders, as far as no other event can come between them any more.

    `after` must be such a position, too. If numbers follow one another without a gap, there is no room for another
    event. Only after a gap does it look at the writers, which costs as much as reading the events.
    """
    events = await _next_events(after, limit)
    if not events or events[-1].id - after == len(events):
        return events
    whole = [event for position, event in enumerate(events, start=after + 1) if event.id == position]
    reached = after + len(whole)
    horizon = await _horizon()
    if horizon > reached:
        # What was missing may have been written meanwhile, or never comes.
        whole += await _next_events(reached, limit - len(whole), horizon)
    return whole


async def _next_events(after: int, limit: int, up_to: int = _LARGEST_POSITION) -> list[OrderEvent]:
    return await rows.read_where(OrderEvent, 'WHERE "id" > ? AND "id" <= ? ORDER BY "id" LIMIT ?', after, up_to, limit)


async def read(wanted: EventFilter, *, after: int, limit: int, up_to: int | None = None) -> list[OrderEvent]:
    """Return the next matching events in log order. `up_to` is a position that `read_on` has passed."""
    await take_turn()  # a filter takes milliseconds to become a statement
    found = OrderEvent.filter(wanted.query(), id__gt=after).order_by("id").limit(limit)
    return await _read_settled(found.all) if up_to is None else await found.filter(id__lte=up_to)


async def timelines(order_ids: Collection[UUID], *, after: int, limit: int) -> dict[UUID, list[OrderEvent]]:
    """Return the next events of each of these orders in log order, with one statement for all of them."""
    rank = RawSQL('ROW_NUMBER() OVER (PARTITION BY "order_id" ORDER BY "id")')
    numbered = OrderEvent.filter(order_id__in=list(order_ids), id__gt=after).annotate(rank=rank)
    sql = f'SELECT * FROM ({numbered.sql(params_inline=True)}) AS "n" WHERE "rank" <= {int(limit)} ORDER BY "id"'  # noqa: S608 - keys and numbers only
    found: dict[UUID, list[OrderEvent]] = {each: [] for each in order_ids}
    for event in await _read_settled(lambda: OrderEvent.raw(sql)):
        found[event.order_id].append(event)
    return found


async def _read_settled(read: Callable[[], Awaitable[Any]]) -> list[OrderEvent]:
    """Return what is read, once no event can come before the last of it: its cursors must be good for the whole log.

    Writers of such events are about to commit. Raise DatabaseUnavailable if one of them does not come to an end.
    """
    horizon = await _horizon()
    events: list[OrderEvent] = list(await read())
    if not events or events[-1].id <= horizon:
        return events
    last, begun = events[-1].id, time.monotonic()
    while horizon < last:
        if time.monotonic() - begun > SETTLE_SECONDS:
            raise DatabaseUnavailable("a change of an order does not come to its end")
        await asyncio.sleep(_LOOK_SECONDS)
        horizon = await _horizon()  # this may take long if the caller has other statements under way
    return [event for event in await read() if event.id <= horizon]


async def find(actor: Actor, event_id: int) -> OrderEvent | None:
    events = await _read_settled(lambda: OrderEvent.filter(id=event_id))
    return events[0] if events and actor.sees(events[0].channel_id) else None
