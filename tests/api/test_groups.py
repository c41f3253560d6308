"""Groups of subscriptions: what they deliver when clients lag, when bells are lost and when the log fails."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from tortoise.transactions import in_transaction

from api.execution.groups import BACKLOG, READ_BACK, Dispatcher, FetchedOutbox, Group, events_of, follow, subscribe
from domain.cursors import encode
from domain.errors import InvalidInput
from domain.orders.commands import add_order_note, confirm_order
from domain.stream import bell, event_log
from domain.stream.bell import Bell
from domain.stream.event_log import CursorExpired, EventFilter, Place, cursor_at, cursor_of, last_place
from domain.stream.feed import Feed, _Flag, _Index
from models import Order, OrderEvent
from models.engine.errors import DatabaseUnavailable
from models.engine.statements import is_postgres
from models.enums import ActorKind, OrderEventType, OrderStatus
from tests.database import run_sql
from tests.domain.shop import ADA, on, place

pytestmark = pytest.mark.usefixtures("database")

ALL = EventFilter()
NEVER = 3600.0  # seconds between polls: only the bell wakes the feed
SOON = 0.05


@asynccontextmanager
async def feed_of(poll_seconds: float = NEVER) -> AsyncIterator[Feed]:
    feed = Feed(Bell("memory://"), poll_seconds)
    async with feed.running():
        yield feed
        assert feed._index.subscribers == set(), "somebody has left and is still told"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nobody tells when it comes true
            await asyncio.sleep(0.001)


async def take(events: AsyncGenerator[OrderEvent, None], count: int) -> list[int]:
    async with asyncio.timeout(60):
        return [(await anext(events)).id for _ in range(count)]


async def write_events(order: Order, count: int) -> list[int]:
    """So many notes on the order, written into the log directly: nobody rings."""
    first = (await last_place()).position + 1
    await OrderEvent.bulk_create(
        OrderEvent(
            order_id=order.id,
            channel_id=order.channel_id,
            order_version=order.version + number,
            type=OrderEventType.NOTE_ADDED,
            occurred_at=order.placed_at,
            actor_kind=ActorKind.SYSTEM,
            actor_name="another process",
            message="A note.",
            data={},
        )
        for number in range(1, count + 1)
    )
    order.version += count
    return list(range(first, first + count))


async def test_a_subscriber_gets_the_next_event_and_the_ones_after_it() -> None:
    order = await place()
    async with feed_of() as feed, aclosing(events_of(feed, ALL)) as events:
        first = asyncio.ensure_future(anext(events))
        await until(lambda: bool(feed._index.subscribers))
        async with asyncio.timeout(60):
            while not first.done():  # the subscription begins at some moment from now on
                await add_order_note(actor=ADA, target=on(order), note="hello")
        begin = (await first).id
        assert begin > 1
        await confirm_order(actor=ADA, target=on(order))
        end = (await last_place()).position
        assert await take(events, end - begin) == list(range(begin + 1, end + 1))


async def test_a_subscriber_that_does_not_read_is_sent_back_to_the_log() -> None:
    order = await place()
    async with feed_of() as feed, aclosing(events_of(feed, ALL, cursor_at(0))) as events:
        assert await take(events, 1) == [1]
        for _ in range(2):
            written = await write_events(order, 2 * BACKLOG + 507)
            bell.ring()
            await until(lambda end=written[-1]: feed.lag_seconds > 0 and feed.position == end)  # type: ignore[misc]
            [group] = feed._index.subscribers
            assert isinstance(group, Group)
            [subscription] = group._subscriptions
            assert len(subscription._backlog or ()) <= BACKLOG
            half = len(written) // 2
            assert await take(events, half) == written[:half]
            more = await write_events(order, 5)
            bell.ring()
            assert await take(events, len(written) - half + 5) == written[half:] + more


async def test_an_overflowing_subscriber_with_a_filter_gets_what_it_asked_for() -> None:
    order, other = await place(), await place()
    wanted = EventFilter(order_ids=frozenset({order.id}))
    async with feed_of() as feed, aclosing(events_of(feed, wanted, cursor_at(0))) as events:
        assert await take(events, 1) == [1]
        written: list[int] = []
        for _ in range(3):
            written += await write_events(order, BACKLOG // 2)
            await write_events(other, BACKLOG // 2)
        bell.ring()
        end = (await last_place()).position
        await until(lambda: feed.position == end)
        assert await take(events, len(written)) == written


async def test_a_cursor_that_is_ahead_of_the_feed_is_resumed_from() -> None:
    order = await place()
    async with feed_of() as feed, aclosing(events_of(feed, ALL, cursor_at(4))) as events:
        await write_events(order, 5)  # 2 to 6, which the feed has not read yet
        first = asyncio.ensure_future(take(events, 1))
        await until(lambda: bool(feed._index.subscribers))
        bell.ring()
        assert await first == [5]
        assert await take(events, 1) == [6]


async def test_an_event_without_a_ring_arrives_with_the_next_poll() -> None:
    order = await place()
    async with feed_of(poll_seconds=SOON) as feed, aclosing(events_of(feed, ALL, cursor_at(1))) as events:
        for _ in range(3):
            written = await write_events(order, 2)
            assert await take(events, 2) == written


async def test_a_ring_wakes_the_feed_long_before_the_poll() -> None:
    order = await place()
    async with feed_of() as feed, aclosing(events_of(feed, ALL, cursor_at(1))) as events:
        await confirm_order(actor=ADA, target=on(order))
        [confirmed] = await take(events, 1)
    assert confirmed == 2


async def test_each_of_two_feeds_of_a_process_is_rung() -> None:
    order = await place()
    async with feed_of() as one:
        async with feed_of() as two, aclosing(events_of(two, ALL, cursor_at(1))) as events:
            await confirm_order(actor=ADA, target=on(order))
            assert await take(events, 1) == [2]
        async with aclosing(events_of(one, ALL, cursor_at(1))) as events:
            await add_order_note(actor=ADA, target=on(order), note="hello")
            assert await take(events, 2) == [2, 3]


async def test_the_feed_outlives_a_log_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    order = await place()
    async with feed_of(poll_seconds=SOON) as feed, aclosing(events_of(feed, ALL, cursor_at(0))) as events:
        assert await take(events, 1) == [1]
        await run_sql("ALTER TABLE order_events RENAME TO away")
        await until(lambda: "the event log could not be read" in caplog.text)
        await run_sql("ALTER TABLE away RENAME TO order_events")
        await confirm_order(actor=ADA, target=on(order))
        assert await take(events, 1) == [2]


@pytest.mark.parametrize(
    ("cursor", "error"),
    [
        (cursor_at(2), CursorExpired),
        (cursor_at(0), CursorExpired),
        (cursor_at(11), CursorExpired),
        (cursor_at(2**63 - 1), CursorExpired),
        (Place(10, 10).cursor, CursorExpired),
        (Place(2, 2).cursor, CursorExpired),
        (Place(11, 11).cursor, CursorExpired),
        (encode("event", 1, -1), InvalidInput),
        (encode("event", 1, True), InvalidInput),
        (encode("event", 1, 2, 3), InvalidInput),
        ("", InvalidInput),
        ("bm9uc2Vuc2U", InvalidInput),
    ],
)
async def test_a_cursor_that_cannot_be_resumed_from(cursor: str, error: type[InvalidInput]) -> None:
    await write_events(await place(), 9)
    await OrderEvent.filter(id__lte=3).delete()
    async with feed_of() as feed, aclosing(events_of(feed, ALL, cursor)) as events:
        with pytest.raises(InvalidInput) as caught:
            await take(events, 1)
        assert type(caught.value) is error
        assert caught.value.field == ("after",)


async def test_the_oldest_and_the_newest_cursor_can_be_resumed_from() -> None:
    order = await place()
    await write_events(order, 9)
    await OrderEvent.filter(id__lte=3).delete()
    async with feed_of(poll_seconds=SOON) as feed:
        async with aclosing(events_of(feed, ALL, cursor_at(3))) as events:
            assert await take(events, 7) == list(range(4, 11))
        async with aclosing(events_of(feed, ALL, cursor_at(10))) as events:
            assert await take(events, 0) == []
            written = await write_events(order, 1)
            assert await take(events, 1) == written == [11]


async def test_a_reader_that_the_beginning_of_the_log_overtakes_is_told() -> None:
    await write_events(await place(), 3 * READ_BACK)
    async with feed_of() as feed, aclosing(events_of(feed, ALL, cursor_at(0))) as events:
        assert await take(events, 10) == list(range(1, 11))
        await OrderEvent.filter(id__lte=2 * READ_BACK).delete()
        assert await take(events, READ_BACK - 10) == list(range(11, READ_BACK + 1))  # these had been read before
        with pytest.raises(CursorExpired):
            await take(events, 1)


async def test_nothing_is_told_after_what_could_not_be_told() -> None:
    """Also to a client that was not waiting: it would resume after the later ones."""
    order = await place()
    failing = True

    async def answers(events: list[OrderEvent]) -> list[int]:
        if failing:
            raise DatabaseUnavailable("down for a moment")
        return [event.id for event in events]

    async with feed_of() as feed:
        outbox: FetchedOutbox[int] = FetchedOutbox()
        subscription = await subscribe(Group(feed, ALL, Dispatcher(answers)), feed, outbox, event_log.NOW)
        for _ in range(3):
            [written] = await write_events(order, 1)
            bell.ring()
            await until(lambda written=written: feed.position == written)  # type: ignore[misc]
            await until(lambda: outbox._ended)
            failing = False
        with pytest.raises(DatabaseUnavailable):
            await outbox.fetch()
        subscription.close()


async def test_nothing_is_told_after_what_could_not_be_read() -> None:
    order = await place()
    await write_events(order, 3)

    async def answers(events: list[OrderEvent]) -> list[int]:
        if events[0].id < 4:
            raise DatabaseUnavailable("down for a moment")
        return [event.id for event in events]

    async with feed_of() as feed:
        outbox: FetchedOutbox[int] = FetchedOutbox()
        subscription = await subscribe(Group(feed, ALL, Dispatcher(answers)), feed, outbox, cursor_at(1))
        await until(lambda: outbox._ended)
        [written] = await write_events(order, 1)
        bell.ring()
        await until(lambda: feed.position == written)
        with pytest.raises(DatabaseUnavailable):
            await outbox.fetch()
        subscription.close()


async def lose_events(order: Order, count: int) -> None:
    """The database is one that lacks the order's last events: those that come next have the same ids."""
    await OrderEvent.filter(id__gt=(await last_place()).position - count).delete()
    if is_postgres():
        await run_sql("SELECT setval('order_events_id_seq', (SELECT max(id) FROM order_events))")
    else:
        await run_sql("UPDATE sqlite_sequence SET seq = (SELECT max(id) FROM order_events) WHERE name = 'order_events'")
    order.version -= count


@pytest.mark.parametrize("rewritten", [0, 1, 3, 5], ids=lambda count: f"{count} others since")
async def test_who_follows_a_log_that_has_lost_its_end_is_told(rewritten: int) -> None:
    order = await place()
    other = await place()
    await write_events(order, 4)
    lost = await last_place()
    async with feed_of(poll_seconds=SOON) as feed, aclosing(events_of(feed, ALL, event_log.NOW)) as events:
        waiting = asyncio.ensure_future(take(events, 1))
        await until(lambda: len(feed._index.subscribers) == 1)
        with feed.watching(ALL) as changed:
            await lose_events(order, 3)
            await write_events(other, rewritten)
            with pytest.raises(CursorExpired):
                await waiting
            assert changed.is_set()
        with pytest.raises(CursorExpired):
            await take(events_of(feed, ALL, lost.cursor), 1)
        async with aclosing(events_of(feed, ALL, event_log.NOW)) as events:
            waiting = asyncio.ensure_future(take(events, 1))
            await until(lambda: len(feed._index.subscribers) == 1)
            [written] = await write_events(other, 1)
            assert await waiting == [written]


async def test_a_cursor_of_what_was_not_lost_can_be_resumed_from() -> None:
    order, other = await place(), await place()
    await write_events(order, 4)
    kept = await OrderEvent.get(id=3)
    await lose_events(order, 3)
    await write_events(other, 5)
    async with feed_of() as feed, aclosing(events_of(feed, ALL, cursor_of(kept))) as events:
        assert await take(events, 5) == [4, 5, 6, 7, 8]


async def test_nothing_is_left_of_a_subscriber_that_goes() -> None:
    order = await place()
    async with feed_of() as feed:

        async def fails_at_the_first_event() -> None:
            async with aclosing(events_of(feed, ALL, cursor_at(0))) as events:
                async for _ in events:
                    raise KeyError

        with pytest.raises(KeyError):
            await fails_at_the_first_event()
        assert feed._index.subscribers == set()

        for _ in range(20):
            waiting = asyncio.ensure_future(take(events_of(feed, ALL, cursor_at(1)), 1))
            await until(lambda: len(feed._index.subscribers) == 1)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await until(lambda: feed._index.subscribers == set())

        with feed.watching(ALL):
            assert len(feed._index.subscribers) == 1
        assert feed._index.subscribers == set()
        await confirm_order(actor=ADA, target=on(order))


async def test_watching_says_that_there_was_a_wanted_event() -> None:
    order, other = await place(), await place()
    confirmed = EventFilter(to_status=frozenset({OrderStatus.CONFIRMED}))
    async with feed_of() as feed, asyncio.timeout(60):
        await write_events(order, 1)  # committed, but not read by the feed before somebody watches
        with feed.watching(confirmed) as confirmation, feed.watching(ALL) as anything:
            assert not anything.is_set()
            bell.ring()
            await anything.wait()
            assert not confirmation.is_set()
            await confirm_order(actor=ADA, target=on(other))
            await confirmation.wait()


async def test_who_leaves_while_it_reads_back_takes_nothing_from_others() -> None:
    """Groups load together what their answers need. It must not end with the one that has asked for it first."""
    order = await place()
    loading: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answers(events: Sequence[OrderEvent]) -> list[int]:
        await loading
        return [event.id for event in events]

    async with feed_of() as feed:
        reading_back: FetchedOutbox[int] = FetchedOutbox()
        leaving = await subscribe(Group(feed, ALL, Dispatcher(answers)), feed, reading_back, cursor_at(0))
        staying: FetchedOutbox[int] = FetchedOutbox()
        subscriber = await subscribe(Group(feed, ALL, Dispatcher(answers)), feed, staying, cursor_at(1))
        await write_events(order, 1)
        bell.ring()
        await until(lambda: feed.position == 2)
        leaving.close()
        await asyncio.sleep(0)
        loading.set_result(None)
        async with asyncio.timeout(60):
            assert await staying.fetch() == 2
        subscriber.close()


class Kept:
    """An outbox that keeps what it gets."""

    full = False

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.error: Exception | None = None

    def send(self, answer: int) -> None:
        self.answers.append(answer)

    def end(self, error: Exception | None) -> None:
        self.error = error


async def test_groups_with_the_same_answers_get_them_together() -> None:
    """An event that concerns several is worked out once. What fails ends those who wait for it, and nobody else."""
    one, other = await place(), await place()
    worked_out: list[list[int]] = []
    failing: set[int] = set()

    async def answers(events: Sequence[OrderEvent]) -> list[int]:
        worked_out.append([event.id for event in events])
        if failing & {event.id for event in events}:
            raise ZeroDivisionError
        return [event.id for event in events]

    async with feed_of() as feed:
        dispatcher, all_of_one, all_of_other, everything = Dispatcher(answers), Kept(), Kept(), Kept()
        subscribers = [
            await subscribe(Group(feed, wanted, dispatcher), feed, told, None)
            for wanted, told in (
                (EventFilter(order_ids=frozenset({other.id})), all_of_other),
                (EventFilter(order_ids=frozenset({one.id})), all_of_one),
                (ALL, everything),
            )
        ]
        begin = (await last_place()).position
        async with in_transaction():  # so that the feed, which may read at any time, reads all of them or none
            written = [*await write_events(one, 1), *await write_events(other, 2), *await write_events(one, 1)]
        assert written == list(range(begin + 1, begin + 5))
        bell.ring()
        await until(lambda: len(everything.answers) == 4)
        assert worked_out == [written]
        assert everything.answers == written
        assert all_of_one.answers == [written[0], written[3]]
        assert all_of_other.answers == written[1:3]

        [failed] = failing = set(await write_events(other, 1))
        bell.ring()
        await until(lambda: everything.error is not None)
        assert isinstance(all_of_other.error, ZeroDivisionError)
        assert failed not in {*all_of_other.answers, *everything.answers}
        assert all_of_one.error is None
        for subscriber in subscribers:
            subscriber.close()


async def test_a_group_that_cannot_be_answered_is_ended() -> None:
    order = await place()

    async def answers(events: Sequence[OrderEvent]) -> list[int]:
        raise ZeroDivisionError

    async with feed_of() as feed, aclosing(follow(Group(feed, ALL, Dispatcher(answers)), feed, cursor_at(1))) as events:
        first = asyncio.ensure_future(anext(events))
        await until(lambda: feed.subscriber_count == 1)
        await write_events(order, 1)
        bell.ring()
        with pytest.raises(ZeroDivisionError):
            await first


def test_an_event_touches_only_those_whom_it_may_concern() -> None:
    """A subscriber is found under what its filter names, and not looked at if it names something else.

    Filters are matched only if they want more than what they are found under.
    """
    looked_at: list[str] = []

    @dataclass(frozen=True)
    class Wanted(EventFilter):
        name: str = ""

        def matches(self, event: OrderEvent) -> bool:
            looked_at.append(self.name)
            return super().matches(event)

    web, pos, mine, other = (uuid4() for _ in range(4))
    many = frozenset({web, *(uuid4() for _ in range(199))})
    confirmed, placed = OrderEventType.ORDER_CONFIRMED, OrderEventType.ORDER_PLACED
    given: dict[str, dict[str, Any]] = {
        "everything": {},
        "my order": {"order_ids": frozenset({mine, uuid4()})},
        "my order, placed": {"order_ids": frozenset({mine}), "types": frozenset({placed})},
        "another order": {"order_ids": frozenset({other})},
        "no order": {"order_ids": frozenset()},
        "web": {"channel_ids": frozenset({web})},
        "pos": {"channel_ids": frozenset({pos})},
        "web of both": {"visible_channel_ids": frozenset({web, pos}), "channel_ids": frozenset({web})},
        "pos alone, of web": {"visible_channel_ids": frozenset({pos}), "channel_ids": frozenset({web})},
        "confirmed": {"types": frozenset({confirmed})},
        "placed": {"types": frozenset({placed})},
        "web, confirmed": {"visible_channel_ids": frozenset({web}), "types": frozenset({confirmed, placed})},
        "pos, confirmed": {"channel_ids": frozenset({pos}), "types": frozenset({confirmed})},
        "many channels": {"channel_ids": many, "types": frozenset({confirmed, placed})},
        "to shipped": {"to_status": frozenset({OrderStatus.SHIPPED})},
    }
    index = _Index()
    subscribers = []
    for name, filters in given.items():
        subscribers.append(_Flag(Wanted(**filters, name=name)))
        index.add(subscribers[-1])
    event = OrderEvent(order_id=mine, channel_id=web, type=confirmed, to_status=OrderStatus.CONFIRMED)
    found = [subscriber.wanted.name for subscriber in index.find(event)]  # type: ignore[attr-defined]
    concerned = {"everything", "my order", "web", "web of both", "confirmed", "web, confirmed", "many channels"}
    assert sorted(found) == sorted(concerned)
    assert sorted(looked_at) == ["many channels", "my order, placed", "to shipped"]
    for subscriber in subscribers:
        index.discard(subscriber)
        index.discard(subscriber)
    assert index._listed == {}
