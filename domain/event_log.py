"""The event log: read in its one order, from a place in it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tortoise.expressions import Q, RawSQL

from domain import cursors
from domain.actors import Actor
from domain.channels import find_channels
from domain.errors import InvalidInput
from models import OrderEvent
from models.enums import OrderEventType, OrderStatus

_CURSOR = "event"
_LARGEST_POSITION = 2**63 - 1


class CursorExpired(InvalidInput):
    """The log no longer reaches back to this cursor: what came after it cannot be given without a gap."""


def cursor_of(event: OrderEvent) -> str:
    """What a subscriber or a page resumes after."""
    return cursor_at(event.id)


def cursor_at(position: int) -> str:
    """The cursor of a place in the log; 0 is before its first event."""
    return cursors.encode(_CURSOR, position)


def position_of(cursor: str) -> int:
    """The place in the log. Raises `InvalidInput`."""
    [position] = cursors.decode(cursor, _CURSOR, 1, "after")
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position <= _LARGEST_POSITION:
        raise InvalidInput("This is not a cursor of this list.", "after")
    return position


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are meant: those for which all that is given here holds.

    `None` leaves an axis open; an empty collection matches nothing. `visible_channel_ids` are the channels that
    exist for the caller (`Actor.channel_ids`).
    """

    visible_channel_ids: frozenset[UUID] | None = None
    order_ids: frozenset[UUID] | None = None
    channel_ids: frozenset[UUID] | None = None
    types: frozenset[OrderEventType] | None = None
    to_status: frozenset[OrderStatus] | None = None
    status_changes_only: bool = False

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
        """The same for the database, but for `status_changes_only`: what it finds must still be matched."""
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
    """The channels of these codes that exist for the caller; `None` for no choice at all."""
    if codes is None:
        return None
    return frozenset(channel.id for channel in await find_channels(actor, codes))


async def last_position() -> int:
    """The place of the newest event, 0 for an empty log."""
    newest = await OrderEvent.all().order_by("-id").first().only("id")
    return newest.id if newest else 0


async def require_kept(position: int) -> None:
    """Raises `CursorExpired` where the log no longer has all that came after this place."""
    oldest = await OrderEvent.all().order_by("id").first().only("id")
    if oldest is not None and position < oldest.id - 1:
        raise CursorExpired("The event log does not reach back to this cursor. Read the orders anew.", "after")


async def require_reachable(position: int) -> None:
    """Raises `CursorExpired` for a place before the log's beginning, `InvalidInput` for one beyond its end."""
    await require_kept(position)
    if position > await last_position():
        raise InvalidInput("This cursor is beyond the end of the event log.", "after")


async def read(
    wanted: EventFilter | None, *, after: int, limit: int, up_to: int = _LARGEST_POSITION
) -> list[OrderEvent]:
    """The next events in the log's order: those that are wanted, or those of all orders."""
    query = Q() if wanted is None else wanted.query()
    return await OrderEvent.filter(query, id__gt=after, id__lte=up_to).order_by("id").limit(limit)


async def timelines(order_ids: Collection[UUID], *, after: int, limit: int) -> dict[UUID, list[OrderEvent]]:
    """The next events of each of these orders, in the log's order: one statement for all of them."""
    place = RawSQL('ROW_NUMBER() OVER (PARTITION BY "order_id" ORDER BY "id")')
    numbered = OrderEvent.filter(order_id__in=list(order_ids), id__gt=after).annotate(place=place)
    sql = f'SELECT * FROM ({numbered.sql(params_inline=True)}) AS "n" WHERE "place" <= {int(limit)} ORDER BY "id"'  # noqa: S608 - keys and numbers only
    found: dict[UUID, list[OrderEvent]] = {each: [] for each in order_ids}
    events: list[OrderEvent] = list(await OrderEvent.raw(sql))
    for event in events:
        found[event.order_id].append(event)
    return found


async def find(actor: Actor, event_id: int) -> OrderEvent | None:
    event = await OrderEvent.get_or_none(id=event_id)
    return event if event is not None and actor.sees(event.channel_id) else None
