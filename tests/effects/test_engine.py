"""Effects: planned once for each event, tried until they work, done once, however many engines there are."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from tortoise.transactions import in_transaction

from domain.actors import system
from domain.counterparts import FAILURES, PROBE, record_failure
from domain.effects import cursor_of, failed_effects, retry_effect
from domain.errors import ErrorCode
from domain.events import NoteAdded
from domain.orders.commands import add_order_note, confirm_order
from domain.paging import PageRequest
from domain.stream.bell import Bell
from domain.stream.feed import Feed
from effects import attempts, engine, fulfillment_requests
from effects.attempts import (
    ATTEMPT_SECONDS,
    LEASE,
    LONGEST_PAUSE,
    LONGEST_WAIT,
    MOST_ATTEMPTS,
    SHORTEST_PAUSE,
    LeaseLost,
    attempt,
    pause_after,
)
from effects.effect import CounterpartFailed, GivenUp, Planned, TryAgain, finish, remember
from effects.engine import Engine
from effects.mail import mailing, smtp
from effects.planning import KNOWN_AGAIN, Planning, begin, plan_known_again, plan_page
from models import Effect, EffectPosition, FailingCounterpart, OrderEvent
from models.engine.fields import new_key
from models.enums import EffectKind, EffectState, OrderEventType
from tests.clients import WAIT
from tests.database import run_sql, statements, while_another_writes
from tests.domain.shop import ADA, on, place, refused, staff, types_of
from tests.effects.due import claim

pytestmark = pytest.mark.usefixtures("database")

ROBOT = system("robot")


class Echo:
    """Writes a note onto the timeline of each order that is confirmed; what stands in its way can be set."""

    kind: ClassVar[EffectKind] = EffectKind.AUTOMATION

    def __init__(self) -> None:
        self.obstacle: BaseException | None = None
        self.attempts = 0
        self.given_up: list[str] = []

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        return [(each, Planned(subject="echo")) for each in events if each.type is OrderEventType.ORDER_CONFIRMED]

    async def carry_out(self, effect: Effect) -> None:
        self.attempts += 1
        await remember(effect, tried=self.attempts)
        if self.obstacle is not None:
            raise self.obstacle
        await finish(effect, ROBOT, NoteAdded(note="echo"))

    async def give_up(self, effect: Effect, reason: str) -> None:
        self.given_up.append(reason)
        await finish(effect, ROBOT, state=EffectState.FAILED, error=reason)


@pytest.fixture
async def echo() -> Echo:
    await begin()
    return Echo()


async def confirmed() -> None:
    await confirm_order(actor=ADA, target=on(await place()))


async def planned(echo: Echo) -> Effect:
    """The only effect, of an order that was just confirmed."""
    await confirmed()
    await plan_page([echo])
    return await Effect.get()


async def try_now(echo: Echo) -> Effect:
    """Another attempt, without waiting until it is due; and the effect after it."""
    await Effect.all().update(due_at=datetime.now(UTC))
    [claimed] = await claim(1)
    await attempt(echo, claimed)
    return await Effect.get()


async def test_an_event_is_planned_once_and_its_effect_done_once(echo: Echo) -> None:
    effect = await planned(echo)
    assert (effect.kind, effect.subject, effect.state, effect.attempts) == ("AUTOMATION", "echo", "WAITING", 0)
    assert await plan_page([echo]) == 0
    done = await try_now(echo)
    assert (done.state, done.attempts, done.leased_until, done.error) == (EffectState.DONE, 1, None, None)
    assert done.finished_at is not None
    assert await claim(1) == []
    await finish(done, ROBOT, NoteAdded(note="again"))  # as a process does that has lost its lease meanwhile
    order = await done.order
    assert await types_of(order) == ["ORDER_PLACED", "ORDER_CONFIRMED", "NOTE_ADDED"]


async def test_several_engines_may_be_the_first_one_at_the_same_time() -> None:
    await confirmed()
    assert await asyncio.gather(*(begin() for _ in range(4))) == [2] * 4


async def test_what_happened_before_the_first_engine_has_no_effects() -> None:
    await confirmed()
    assert await plan_page([Echo()]) == 0
    assert await Effect.all().count() == 0
    await confirmed()
    assert await plan_page([Echo()]) == 2
    assert await Effect.all().count() == 1


@pytest.mark.parametrize(("age", "state"), [(23, EffectState.WAITING), (25, EffectState.FAILED)])
async def test_what_another_version_has_skipped_is_planned_for_a_day(age: int, state: EffectState) -> None:
    """What came before is left to a person: an order may have been dealt with by other means long since."""
    await confirmed()
    [event] = await OrderEvent.filter(type=OrderEventType.ORDER_CONFIRMED)
    then = datetime.now(UTC) - timedelta(hours=age)
    await Effect.create(
        event_id=event.id,
        order_id=event.order_id,
        channel_id=event.channel_id,
        kind=EffectKind.PLANNING,
        state=EffectState.FAILED,
        lane="PLANNING:",
        due_at=then,
        created_at=then,
    )
    await plan_known_again()
    assert (await Effect.get()).state is state


async def test_planning_again_for_an_event_may_be_done_twice(echo: Echo) -> None:
    """As if the process had been killed before it could write down that it is done."""

    class Puzzled(Echo):
        async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
            raise LookupError("what is this?")

    await confirm_order(actor=ADA, target=on(await place()))
    await plan_page([Puzzled()])
    failed = await Effect.all().order_by("id")
    for effect in failed:
        await retry_effect(actor=ADA, effect_id=effect.id)
    for _ in range(2):
        for effect in await claim():
            assert await attempt(Planning([echo]), effect) is None
        assert await Effect.filter(kind=EffectKind.AUTOMATION).count() == 1
        await Effect.filter(kind=EffectKind.AUTOMATION).update(due_at=datetime.now(UTC) + timedelta(minutes=1))
        planning = Effect.filter(kind=EffectKind.PLANNING)
        assert await planning.filter(state=EffectState.DONE).count() == len(failed)
        await planning.update(state=EffectState.WAITING)


async def test_an_operators_command_has_no_effects(echo: Echo) -> None:
    await confirm_order(actor=system("scripts/import-orders"), target=on(await place()))
    assert await plan_page([echo]) == 2
    assert await Effect.all().count() == 0


async def test_several_who_plan_and_claim_at_the_same_time_get_each_effect_once(echo: Echo) -> None:
    for _ in range(5):
        await confirmed()
    await asyncio.gather(*(plan_page([echo]) for _ in range(4)))
    assert await Effect.all().count() == 5
    claimed = await asyncio.gather(*(claim(3) for _ in range(4)))
    ids = [effect.id for each in claimed for effect in each]
    assert len(ids) == len(set(ids))
    rest = await claim(5)
    assert len(ids) + len(rest) == 5


@pytest.mark.postgres
async def test_what_another_process_is_planning_is_left_to_it(echo: Echo, database: str) -> None:
    """Also if it has found no effects there, which would be there already if planned twice."""
    await confirmed()
    lock, write = "SELECT 1 FROM effect_positions FOR UPDATE", "UPDATE effect_positions SET position = $1"
    last = await OrderEvent.all().count()
    assert await while_another_writes(database, lock, write, last, call=plan_page([echo])) == 0
    assert await Effect.all().count() == 0


@pytest.mark.postgres
async def test_two_failures_of_a_counterpart_at_the_same_moment_count_twice(database: str) -> None:
    lane = "AUTOMATION:robot"
    await record_failure(lane, new_key(), "down")
    lock = "SELECT 1 FROM failing_counterparts FOR UPDATE"
    write = "UPDATE failing_counterparts SET failures = failures + 1"
    await while_another_writes(database, lock, write, call=record_failure(lane, new_key(), "down"))
    assert (await FailingCounterpart.get()).failures == 3


async def test_a_failure_is_tried_again_after_growing_pauses(echo: Echo) -> None:
    await planned(echo)
    echo.obstacle = OSError("the line is dead")
    for number in (1, 2, 3):
        before = datetime.now(UTC)
        effect = await try_now(echo)
        assert (effect.state, effect.attempts, effect.error) == (EffectState.WAITING, number, "the line is dead")
        assert effect.leased_until is None
        assert before + pause_after(number) <= effect.due_at <= datetime.now(UTC) + pause_after(number)
        assert effect.data == {"tried": number}
    assert await claim(1) == []  # it is not due
    echo.obstacle = None
    assert (await try_now(echo)).state is EffectState.DONE


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (timedelta(seconds=90), timedelta(seconds=90)),
        (timedelta(), SHORTEST_PAUSE),
        (timedelta(days=300), LONGEST_PAUSE),
    ],
)
async def test_the_other_side_says_when_to_try_again(echo: Echo, asked: timedelta, waited: timedelta) -> None:
    await planned(echo)
    echo.obstacle = TryAgain("not now", asked)
    before = datetime.now(UTC)
    effect = await try_now(echo)
    assert (effect.state, effect.error) == (EffectState.WAITING, "not now")
    assert before + waited <= effect.due_at <= datetime.now(UTC) + waited


async def test_waiting_as_asked_uses_up_no_attempts(echo: Echo) -> None:
    await planned(echo)
    echo.obstacle = TryAgain("not now", timedelta(seconds=1))
    for number in range(1, MOST_ATTEMPTS + 2):
        effect = await try_now(echo)
        assert (effect.state, effect.attempts) == (EffectState.WAITING, number)
    echo.obstacle = OSError("the line is dead")
    before = datetime.now(UTC)
    effect = await try_now(echo)
    assert effect.state is EffectState.WAITING
    assert before + pause_after(1) <= effect.due_at <= datetime.now(UTC) + pause_after(1)
    await Effect.all().update(created_at=datetime.now(UTC) - LONGEST_WAIT)
    echo.obstacle = TryAgain("not now", timedelta(seconds=1))
    effect = await try_now(echo)
    assert (effect.state, effect.error) == (EffectState.FAILED, f"after {effect.attempts} attempts: not now")


def test_the_pauses_grow_to_an_hour_and_last_a_day() -> None:
    pauses = [pause_after(number) for number in range(1, MOST_ATTEMPTS)]
    assert pauses[:4] == [timedelta(seconds=each) for each in (5, 10, 20, 40)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(hours=1)
    assert timedelta(hours=23) < sum(pauses, timedelta()) < timedelta(hours=25)


async def test_after_a_day_a_person_is_asked(echo: Echo) -> None:
    await planned(echo)
    await Effect.all().update(attempts=MOST_ATTEMPTS - 1)
    echo.obstacle = OSError("the line is dead")
    effect = await try_now(echo)
    assert (effect.state, effect.error) == (EffectState.FAILED, f"after {MOST_ATTEMPTS} attempts: the line is dead")
    assert echo.given_up == [effect.error]


async def test_a_reason_that_is_too_long_does_not_keep_it_from_being_given_up(echo: Echo) -> None:
    await planned(echo)
    await Effect.all().update(attempts=MOST_ATTEMPTS - 1)
    echo.obstacle = OSError("x" * 2_000)
    effect = await try_now(echo)
    assert effect.state is EffectState.FAILED
    assert effect.error == f"after {MOST_ATTEMPTS} attempts: {'x' * 2_000}"[:1024]


async def test_giving_up_and_trying_again(echo: Echo) -> None:
    await planned(echo)
    echo.obstacle = GivenUp("nobody lives there")
    effect = await try_now(echo)
    assert (effect.state, effect.error, effect.attempts) == (EffectState.FAILED, "nobody lives there", 1)
    page = await failed_effects(ADA, request=PageRequest())
    assert [each.id for each in page.effects] == [effect.id]
    assert (await failed_effects(staff("Eve", channels=frozenset()), request=PageRequest())).effects == []
    async with refused(ErrorCode.NOT_FOUND, "effect_id"):
        await retry_effect(actor=staff("Eve", channels=frozenset()), effect_id=effect.id)

    echo.obstacle = None
    again = await retry_effect(actor=ADA, effect_id=effect.id)
    assert (again.state, again.attempts, again.error, again.data) == (EffectState.WAITING, 0, None, {"round": 1})
    assert (await try_now(echo)).state is EffectState.DONE
    assert (await retry_effect(actor=ADA, effect_id=effect.id)).state is EffectState.DONE
    assert (await failed_effects(ADA, request=PageRequest())).effects == []


@pytest.mark.parametrize("state", [EffectState.WAITING, EffectState.FAILED, EffectState.DONE])
async def test_who_wants_an_effect_tried_ends_the_pause_of_what_it_needs(echo: Echo, state: EffectState) -> None:
    effect = await planned(echo)
    lane = "AUTOMATION:robot"
    await Effect.all().update(lane=lane, state=state)
    for _ in range(FAILURES):
        await record_failure(lane, effect.id, "down")
    assert await claim() == []
    await retry_effect(actor=ADA, effect_id=effect.id)
    paused_until = (await FailingCounterpart.get()).paused_until
    assert paused_until is not None
    assert (paused_until <= datetime.now(UTC)) is (state is not EffectState.DONE)
    assert len(await claim()) == (state is not EffectState.DONE)


async def test_looking_for_effects_takes_one_statement_if_none_may_be_carried_out(echo: Echo) -> None:
    """Every process looks many times a second."""
    effect = await planned(echo)
    await Effect.all().update(lane="AUTOMATION:robot")
    for _ in range(FAILURES):
        await record_failure("AUTOMATION:robot", effect.id, "down")
    with statements() as sent:
        assert await claim() == []  # it is paused
    assert len(sent) == 1
    await FailingCounterpart.all().delete()
    await Effect.all().update(due_at=datetime.now(UTC) + timedelta(minutes=1))
    with statements() as sent:
        assert await claim() == []  # it is not due
    assert len(sent) == 1


async def test_failed_effects_come_in_pages(echo: Echo) -> None:
    for _ in range(3):
        await confirmed()
    await plan_page([echo])
    await Effect.all().update(state=EffectState.FAILED)
    seen: list[Effect] = []
    after = None
    for more in (True, False):
        page = await failed_effects(ADA, request=PageRequest(first=2, after=after))
        assert page.has_next_page is more
        seen += page.effects
        after = cursor_of(page.effects[-1])
    assert [each.id for each in seen] == sorted(each.id for each in await Effect.all())


async def test_an_effect_whose_process_died_is_taken_up_when_its_lease_ends(echo: Echo) -> None:
    await planned(echo)
    [claimed] = await claim(1)
    assert claimed.leased_until is not None
    assert claimed.leased_until <= datetime.now(UTC) + LEASE
    assert await claim(1) == []
    await Effect.all().update(leased_until=datetime.now(UTC) - timedelta(seconds=1))
    [taken] = await claim(1)
    assert taken.attempts == 2


async def test_an_attempt_that_takes_too_long_is_tried_again(echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    await planned(echo)
    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 0.01)

    async def stall(effect: Effect) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(echo, "carry_out", stall)
    effect = await try_now(echo)
    assert (effect.state, effect.error) == (EffectState.WAITING, "it was not done within 0.01 seconds")


async def test_a_server_that_stops_gives_its_effects_back(echo: Echo) -> None:
    await planned(echo)
    [claimed] = await claim(1)
    stalled = asyncio.Event()

    async def stall(effect: Effect) -> None:
        stalled.set()
        await asyncio.Event().wait()

    echo.carry_out = stall  # type: ignore[method-assign]
    task = asyncio.create_task(attempt(echo, claimed))
    await stalled.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(await claim(1)) == 1


async def test_running_engines_do_what_they_hear_of(echo: Echo) -> None:
    feed = Feed(Bell("memory://"), poll_seconds=0.2)
    async with feed.running(), Engine(feed, [echo]).running(), Engine(feed, [echo]).running():
        order = await place()
        await confirm_order(actor=ADA, target=on(order))
        await add_order_note(actor=ADA, target=on(order), note="x")
        async with asyncio.timeout(60):
            while (await EffectPosition.get()).position < 4:  # noqa: ASYNC110 - the events of the order and of the echo
                await asyncio.sleep(0.01)
    assert echo.attempts == 1
    assert sorted((await types_of(order))[2:]) == ["NOTE_ADDED", "NOTE_ADDED"]
    assert (await Effect.get()).state is EffectState.DONE


class Stuck(Echo):
    """Does not end, also when it is `cancelled`, before it is `let_go`."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        self.cancelled = 0
        self.swallows = False

    async def carry_out(self, effect: Effect) -> None:
        self.begun.set()
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if not self.swallows:
                    raise


@pytest.fixture
async def stuck() -> AsyncIterator[Stuck]:
    await begin()
    stuck = Stuck()
    yield stuck
    stuck.let_go.set()


async def test_an_attempt_that_does_not_end_does_not_hold_the_server(
    stuck: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    stuck.swallows = True
    others = asyncio.all_tasks()
    feed = Feed(Bell("memory://"), poll_seconds=0.2)
    async with feed.running(), Engine(feed, [stuck], stop_seconds=0.1).running():
        await confirmed()
        await stuck.begun.wait()
    assert stuck.cancelled
    assert "is left behind" not in caplog.text  # nobody has waited until it was given up
    stuck.let_go.set()
    await asyncio.wait(asyncio.all_tasks() - others)


async def leases(number: int) -> list[datetime]:
    """The next so many moments until which the only effect is leased."""
    seen: list[datetime] = []
    async with asyncio.timeout(10):
        while len(seen) < number:
            until = (await Effect.get()).leased_until
            assert until is not None
            if until not in seen:
                seen.append(until)
            await asyncio.sleep(0.01)
    return seen


async def test_a_lease_is_renewed_before_it_ends(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise another process would take the effect up, and carry it out in parallel."""
    lease = timedelta(seconds=1.5)
    monkeypatch.setattr(attempts, "LEASE", lease)
    await planned(stuck)
    [claimed] = await claim()
    await Effect.all().update(leased_until=datetime.now(UTC) + lease)
    working = asyncio.create_task(attempt(stuck, claimed))
    first, second = await leases(2)
    assert second - lease < first  # when it was renewed
    assert await claim() == []
    stuck.let_go.set()
    assert await working is None


async def test_who_has_lost_its_lease_ends_what_it_does(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "LEASE", timedelta(seconds=0.1))
    await planned(stuck)
    [claimed] = await claim()
    await Effect.all().update(leased_until=None)
    [taken] = await claim()  # as another process does, when this one was away for longer than its lease
    assert isinstance(await attempt(stuck, claimed), LeaseLost)
    assert stuck.cancelled == 1
    row = await Effect.get()
    assert (row.attempts, row.leased_until, row.error) == (2, taken.leased_until, None)


async def test_who_has_lost_its_lease_puts_nothing_off(echo: Echo) -> None:
    """What fails before the loss is noticed must not end the lease of the process that has it now."""
    await planned(echo)
    [claimed] = await claim()
    await Effect.all().update(leased_until=None)
    [taken] = await claim()
    echo.obstacle = OSError("the line is dead")
    assert await attempt(echo, claimed) is echo.obstacle
    row = await Effect.get()
    assert (row.attempts, row.leased_until, row.error) == (2, taken.leased_until, None)


async def test_who_cannot_renew_its_lease_ends_what_it_does(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "LEASE", timedelta(seconds=0.3))
    monkeypatch.setattr(attempts, "_LEAST_SECONDS", 0.05)
    await planned(stuck)
    [claimed] = await claim()
    working = asyncio.create_task(attempt(stuck, claimed))
    await stuck.begun.wait()
    async with in_transaction():
        await Effect.all().update(target="x")  # nobody else can write to the row
        assert isinstance(await working, LeaseLost)
    assert stuck.cancelled == 1


@pytest.mark.parametrize("swallows", [False, True])
async def test_an_attempt_that_is_stuck_ends_whatever_it_does(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, swallows: bool
) -> None:
    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 0.01)
    monkeypatch.setattr(attempts, "GRACE_SECONDS", 0.01)
    stuck.swallows = swallows
    await planned(stuck)
    effect = await try_now(stuck)
    assert (effect.state, effect.leased_until, effect.error) == (
        EffectState.WAITING,
        None,
        "it was not done within 0.01 seconds",
    )
    assert ("is left behind" in caplog.text) is swallows
    assert stuck.cancelled == (2 if swallows else 1)


async def test_what_was_left_behind_may_fail_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its effect is tried again long since: nobody needs to know."""
    failed = asyncio.Event()

    class Late(Stuck):
        async def carry_out(self, effect: Effect) -> None:
            await super().carry_out(effect)
            failed.set()
            raise OSError("too late")

    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 0.01)
    monkeypatch.setattr(attempts, "GRACE_SECONDS", 0.01)
    late = Late()
    late.swallows = True
    await begin()
    await planned(late)
    await try_now(late)
    late.let_go.set()
    await failed.wait()
    await asyncio.sleep(0)
    gc.collect()


async def test_an_attempt_whose_end_cannot_be_written_down_is_told_of(
    echo: Echo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def give_up(effect: Effect, reason: str) -> None:
        raise OSError("no ink")

    echo.obstacle = GivenUp("nobody lives there")
    monkeypatch.setattr(echo, "give_up", give_up)
    feed = Feed(Bell("memory://"), poll_seconds=0.2)
    async with feed.running(), Engine(feed, [echo]).running(), asyncio.timeout(WAIT):
        await confirmed()
        while "could not be written down" not in caplog.text:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.01)
    assert "no ink" in caplog.text


async def test_an_engine_goes_on_after_an_outage(echo: Echo, caplog: pytest.LogCaptureFixture) -> None:
    feed = Feed(Bell("memory://"), poll_seconds=0.05)
    async with feed.running(), Engine(feed, [echo]).running(), asyncio.timeout(WAIT):
        await run_sql("ALTER TABLE effects RENAME TO away")
        await confirmed()
        while not ("could not be planned" in caplog.text and "could not be taken up" in caplog.text):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await run_sql("ALTER TABLE away RENAME TO effects")
        while not await Effect.filter(state=EffectState.DONE).exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_silence_is_the_fault_of_the_counterpart(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "ATTEMPT_SECONDS", 0.01)
    effect = await planned(stuck)
    assert effect.lane == "AUTOMATION:"
    assert type(await attempt(stuck, effect)) is TimeoutError  # there is none
    effect.lane = "AUTOMATION:robot"
    assert type(await attempt(stuck, effect)) is CounterpartFailed


@pytest.mark.parametrize(
    ("due", "leased", "free"),
    [
        (timedelta(), None, True),
        (timedelta(minutes=59), None, False),
        (timedelta(minutes=62), None, True),
        (timedelta(), timedelta(seconds=10), False),
        (timedelta(), timedelta(seconds=65), False),  # by a process whose clock is a little ahead
        (timedelta(), timedelta(seconds=75), True),
        (timedelta(days=3650), timedelta(days=3650), True),
    ],
)
async def test_nothing_is_due_or_leased_for_longer_than_it_can_be(
    echo: Echo, due: timedelta, leased: timedelta | None, free: bool
) -> None:
    await planned(echo)
    now = datetime.now(UTC)
    await Effect.all().update(due_at=now + due, leased_until=leased and now + leased)
    assert len(await claim()) == free


async def test_what_one_version_does_not_know_is_left_to_the_other(echo: Echo) -> None:
    """A newer one has kinds of its own, an older one has written no lanes."""
    for _ in range(3):
        await confirmed()
    await plan_page([echo])
    newer, older, ours = await Effect.all().order_by("id")
    await Effect.filter(id=newer.id).update(lane="SMOKE_SIGNAL:hill")
    await Effect.filter(id=older.id).update(lane="")
    feed = Feed(Bell("memory://"), poll_seconds=0.2)
    async with feed.running(), Engine(feed, [echo]).running(), asyncio.timeout(10):
        while await Effect.filter(state=EffectState.DONE).count() < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    states = {each.id: each.state for each in await Effect.all()}
    assert states == {newer.id: EffectState.WAITING, older.id: EffectState.DONE, ours.id: EffectState.DONE}


def test_time_limits_fit_into_one_another() -> None:
    assert (timedelta(seconds=10), 3, 60.0) == (LEASE, attempts.RENEWALS, ATTEMPT_SECONDS)
    assert fulfillment_requests.SECONDS == 15.0
    assert (smtp.CONNECT_SECONDS, smtp.SECONDS) == (10.0, 50.0)  # so that the answer that did not come is known as such
    assert smtp.SECONDS < ATTEMPT_SECONDS
    assert mailing.GRACE_SECONDS < attempts.GRACE_SECONDS  # a message that is being handed over gets its answer
    assert attempts.GRACE_SECONDS < engine.STOP_SECONDS < 10  # in which a server ends
    assert timedelta(seconds=ATTEMPT_SECONDS + 2 * attempts.GRACE_SECONDS) < PROBE
    # What an older version skips during an upgrade is looked for many times before it is left to a person.
    assert timedelta(seconds=engine.SEARCH_SECONDS) * 100 < KNOWN_AGAIN
