"""The log's one order while several write at the same time, and commit in another order than they began."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from tortoise.transactions import in_transaction

from api.execution.groups import events_of
from domain.orders.commands import add_order_note, confirm_order
from domain.stream import bell, event_log
from domain.stream.bell import Bell
from domain.stream.event_log import EventFilter, cursor_at, cursor_of, last_place
from domain.stream.feed import Feed
from models import Order, OrderEvent
from models.engine import statements
from models.engine.database import connect
from models.engine.errors import DatabaseUnavailable
from models.enums import ActorKind, OrderEventType
from tests.clients import until
from tests.database import statements as statements_sent
from tests.domain.shop import ADA, on, place

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.postgres]  # SQLite's writers come one after another

ALL = EventFilter()
SOON = 0.05


def an_event(order: Order, version: int) -> dict[str, Any]:
    return {
        "order_id": order.id,
        "channel_id": order.channel_id,
        "order_version": version,
        "type": OrderEventType.NOTE_ADDED,
        "occurred_at": datetime.now(UTC),
        "actor_kind": ActorKind.SYSTEM,
        "actor_name": "a slow writer",
        "message": "A note.",
        "data": {},
        "has_effects": True,
    }


class Slow:
    """A transaction that has written an event of the order, and does not end before it is told how."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._written = asyncio.Event()
        self._end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def _run(self) -> None:
        async with in_transaction():
            await statements.write(event_log.appending([an_event(self._order, self._order.version + 1)]))
            self._written.set()
            if not await self._end:
                raise InterruptedError
        bell.ring()

    async def begin(self) -> None:
        self._task = asyncio.create_task(self._run())
        await self._written.wait()

    async def end(self, *, commit: bool) -> None:
        self._end.set_result(commit)
        await asyncio.gather(self._task, return_exceptions=not commit)


@asynccontextmanager
async def slow(order: Order) -> AsyncIterator[Slow]:
    writer = Slow(order)
    await writer.begin()
    try:
        yield writer
    finally:
        if not writer._task.done():
            await writer.end(commit=False)


@asynccontextmanager
async def feed() -> AsyncIterator[Feed]:
    running = Feed(Bell("memory://"), SOON)
    async with running.running():
        yield running


async def reads_on(running: Feed, times: int = 2) -> None:
    """Returns once the feed has read the log so many times from now on."""
    for _ in range(times):
        before = running.last_read
        await until(lambda before=before: running.last_read != before)  # type: ignore[misc]


async def test_what_is_committed_first_waits_for_a_lower_number_that_may_still_come() -> None:
    one, other = await place(), await place()
    async with feed() as running, aclosing(events_of(running, ALL, cursor_at(2))) as events, slow(one) as writer:
        await confirm_order(actor=ADA, target=on(other))
        await reads_on(running)
        assert running.position == 2
        await writer.end(commit=True)
        assert [((await anext(events)).id, (await anext(events)).id)] == [(3, 4)]


async def test_a_writer_is_announced_before_its_first_number_is_taken() -> None:
    order = await place()
    last = (await last_place()).position
    async with in_transaction():
        await statements.write(event_log.appending([an_event(order, 2), an_event(order, 3)]))
        assert await event_log._horizon() == last
        assert [event.id for event in await OrderEvent.filter(order_id=order.id).order_by("id")] == [
            last,
            last + 1,
            last + 2,
        ]


async def test_what_is_rolled_back_holds_up_nobody() -> None:
    one, other = await place(), await place()
    async with feed() as running, aclosing(events_of(running, ALL, cursor_at(2))) as events, slow(one) as writer:
        await confirm_order(actor=ADA, target=on(other))
        await writer.end(commit=False)
        assert (await anext(events)).id == 4
        await confirm_order(actor=ADA, target=on(one))
        assert (await anext(events)).id == 5


async def test_a_writer_who_dies_holds_up_nobody(database: str) -> None:
    one, other = await place(), await place()
    dying = await connect(database)
    await dying.execute("BEGIN")
    await dying.execute(event_log._ANNOUNCE)
    await dying.execute("SELECT nextval('order_events_id_seq')")
    async with feed() as running, aclosing(events_of(running, ALL, cursor_at(2))) as events:
        await confirm_order(actor=ADA, target=on(other))
        await reads_on(running)
        assert running.position == 2
        dying.terminate()
        assert (await anext(events)).order_id == other.id
    assert one.version == 1


async def test_transactions_that_write_no_events_hold_up_nothing(database: str) -> None:
    order = await place()
    somebody = await connect(database)
    try:
        await somebody.execute("BEGIN")
        await somebody.execute("CREATE TABLE theirs (id INT)")
        await somebody.execute("SELECT pg_advisory_xact_lock(1)")
        async with feed() as running, aclosing(events_of(running, ALL, cursor_at(1))) as events:
            await confirm_order(actor=ADA, target=on(order))
            assert (await anext(events)).id == 2
    finally:
        await somebody.close()


async def test_numbers_that_follow_one_another_are_read_without_a_look_at_the_writers() -> None:
    order, other = await place(), await place()
    for _ in range(2):
        await add_order_note(actor=ADA, target=on(order), note="One more.")
    async with slow(other):  # what it writes comes after all of them
        with statements_sent() as sent:
            assert [event.id for event in await event_log.read_on(after=1, limit=2)] == [2, 3]
            assert [event.id for event in await event_log.read_on(after=3, limit=9)] == [4]
        assert ["order_events" in each.sql for each in sent] == [True, True]


async def test_a_page_ends_before_a_number_that_may_still_come_and_goes_on_after_one_that_never_does() -> None:
    one, other, third = await place(), await place(), await place()
    async with slow(one) as failing, slow(other) as writer:  # 4 and 5
        for _ in range(2):
            await add_order_note(actor=ADA, target=on(third), note="6 and 7.")
        assert [event.id for event in await event_log.read_on(after=1, limit=9)] == [2, 3]
        await failing.end(commit=False)
        assert [event.id for event in await event_log.read_on(after=1, limit=9)] == [2, 3]
        await writer.end(commit=True)
        assert [event.id for event in await event_log.read_on(after=1, limit=9)] == [2, 3, 5, 6, 7]
        assert [event.id for event in await event_log.read_on(after=1, limit=3)] == [2, 3, 5]
        assert [event.id for event in await event_log.read_on(after=1, limit=2)] == [2, 3]
        assert [event.id for event in await event_log.read_on(after=3, limit=9)] == [5, 6, 7]


async def test_writers_do_not_wait_for_one_another() -> None:
    one, other = await place(), await place()
    async with slow(one):
        async with asyncio.timeout(60):
            await confirm_order(actor=ADA, target=on(other))
            await place()
    assert await OrderEvent.all().count() == 4


async def test_a_page_gives_no_cursor_that_something_may_come_before() -> None:
    one, other = await place(), await place()
    async with slow(one) as writer:
        await confirm_order(actor=ADA, target=on(other))
        assert (await last_place()).position == 2
        reading: list[asyncio.Task[Any]] = [
            asyncio.create_task(event_log.read(ALL, after=0, limit=10)),
            asyncio.create_task(event_log.timelines([other.id], after=0, limit=10)),
            asyncio.create_task(event_log.find(ADA, 4)),
        ]
        done, waiting = await asyncio.wait(reading, timeout=0.2)
        assert (len(done), len(waiting)) == (0, 3)
        await writer.end(commit=True)
        page, timelines, found = await asyncio.gather(*reading)
        assert [event.id for event in page][:2] == [1, 2]
        assert [event.id for event in timelines[other.id]] == [2, 4]
        assert found is not None
    after = await event_log.read(ALL, after=event_log.parse_cursor(cursor_of(page[-1])).position, limit=10)
    assert [event.id for event in [*page, *after]] == [1, 2, 3, 4]


async def test_a_page_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "SETTLE_SECONDS", 0.05)
    one, other = await place(), await place()
    async with slow(one):
        await confirm_order(actor=ADA, target=on(other))
        with pytest.raises(DatabaseUnavailable):
            await event_log.read(ALL, after=0, limit=10)
        assert [event.id for event in await event_log.read(ALL, after=0, limit=2)] == [1, 2]


async def test_a_log_whose_first_number_was_used_up_by_a_failure_is_whole() -> None:
    async def fail() -> None:
        async with in_transaction():
            await place()
            raise InterruptedError

    async with feed() as running:
        with pytest.raises(InterruptedError):
            await fail()
        order = await place()
        async with aclosing(events_of(running, ALL, cursor_at(0))) as events:
            event = await anext(events)
    assert (event.order_id, event.id > 1) == (order.id, True)


@pytest.mark.parametrize("round_", range(2))
async def test_every_feed_gives_the_whole_log_in_one_order_while_many_write(round_: int) -> None:
    """Writers hold their transactions open for a random while, and some fail; feeds and late comers read meanwhile."""
    chance = random.Random(round_)
    orders = [await place() for _ in range(8)]
    start = cursor_at((await last_place()).position)

    async def write(order: Order) -> None:
        for number in range(12):
            fails = chance.random() < 0.2
            try:
                async with in_transaction():
                    kept = await Order.filter(id=order.id).select_for_update().get()
                    version = await OrderEvent.filter(order_id=kept.id).count()
                    events = [an_event(kept, version + 1), an_event(kept, version + 2)][: number % 2 + 1]
                    await statements.write(event_log.appending(events))
                    await asyncio.sleep(chance.random() * 0.01)
                    if fails:
                        raise InterruptedError
            except InterruptedError:
                continue
            bell.ring()

    async def follow(running: Feed, seen: list[int], after: str) -> None:
        async with aclosing(events_of(running, ALL, after)) as events:
            async for event in events:
                seen.append(event.id)  # noqa: PERF401 - it never ends

    async def resume_often(running: Feed, seen: list[int]) -> None:
        while True:
            async with aclosing(events_of(running, ALL, cursor_at(seen[-1]) if seen else start)) as events:
                for _ in range(chance.randint(1, 5)):
                    seen.append((await anext(events)).id)  # noqa: PERF401 - each one counts, also if it is cut off

    async with AsyncExitStack() as stack:
        feeds = [await stack.enter_async_context(feed()) for _ in range(2)]
        seen: list[list[int]] = [[] for _ in range(4)]
        followers = [
            *(asyncio.create_task(follow(running, seen[place_], start)) for place_, running in enumerate(feeds)),
            *(asyncio.create_task(resume_often(running, seen[place_ + 2])) for place_, running in enumerate(feeds)),
        ]
        await asyncio.gather(*(write(order) for order in orders[:4]))
        await add_order_note(actor=ADA, target=on(orders[-1]), note="The last one.")
        log = [event.id for event in await OrderEvent.filter(id__gt=8).order_by("id")]
        await until(lambda: all(each and each[-1] == log[-1] for each in seen))
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    assert seen == [log] * 4
