"""Many callers at once, and callers that are cut off: each change is whole, and exactly one wins."""

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any

import pytest

from domain.change import change
from domain.errors import DomainError, ErrorCode
from domain.fulfillments.commands import TrackingInfo, mark_ready_to_ship, mark_shipped
from domain.orders.commands import add_order_note, cancel_order, confirm_order
from domain.payments.commands import Amount, record_payment, refund_payment
from domain.rules import TRANSITIONS
from domain.stream import bell
from models import IdempotencyRecord, Order
from models.enums import CancelReason, OrderStatus
from tests.database import all_rows, nobody_writes, sqlite_path
from tests.domain.shop import (
    ADA,
    authorized,
    contents,
    log_of,
    nothing_changes,
    on,
    once,
    paid,
    place,
    refused,
    stored,
    units,
)

pytestmark = pytest.mark.usefixtures("database")
Command = Callable[..., Coroutine[Any, Any, Order]]
cancel: Command = partial(cancel_order, reason=CancelReason.STAFF)


async def at_once(*calls: Coroutine[Any, Any, Order]) -> Counter[str]:
    """How often the calls succeeded (`done`) and were refused, by code. Nothing else may come of them."""
    outcomes: Counter[str] = Counter()
    for answer in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(answer, Order | DomainError), repr(answer)
        outcomes["done" if isinstance(answer, Order) else answer.code.value] += 1
    return outcomes


@pytest.mark.parametrize("seed", range(10))
async def test_each_transition_is_won_once(seed: int) -> None:
    order = await place()
    commands: list[Command] = [confirm_order, cancel, mark_ready_to_ship, mark_shipped] * 6
    random.Random(seed).shuffle(commands)
    await at_once(*(command(actor=ADA, target=on(order)) for command in commands))
    status, steps = None, 0
    for event in await log_of(order):
        if event.to_status is not None:
            assert event.from_status is status
            assert status is None or event.to_status in TRANSITIONS[status]
            status, steps = event.to_status, steps + 1
    assert (await stored(order)).status is status
    assert status in (OrderStatus.CANCELLED, OrderStatus.SHIPPED)
    assert steps == len(await log_of(order))


async def test_of_many_with_the_same_version_one_acts() -> None:
    order = await place()
    outcomes = await at_once(*(add_order_note(actor=ADA, target=on(order, 1), note=f"{i}") for i in range(10)))
    assert outcomes == {"done": 1, "VERSION_CONFLICT": 9}
    assert (await stored(order)).version == 2


async def test_no_unit_leaves_twice() -> None:
    order = await confirm_order(actor=ADA, target=on(await place()))
    wanted = await units(order, 1)
    outcomes = await at_once(*(mark_shipped(actor=ADA, target=on(order), lines=wanted) for _ in range(2)))
    assert outcomes == {"done": 2}
    assert await contents(order) == [("SHIPPED", [1, 0]), ("SHIPPED", [1, 0])]
    outcomes = await at_once(*(mark_shipped(actor=ADA, target=on(order)) for _ in range(5)))
    assert outcomes == {"done": 5}
    assert await contents(order) == [("SHIPPED", [1, 0]), ("SHIPPED", [1, 0]), ("SHIPPED", [0, 1])]


async def test_no_money_moves_twice() -> None:
    order, ten = await place(payments=[paid("9.80")]), Amount(Decimal(10))
    outcomes = await at_once(*(record_payment(actor=ADA, target=on(order), amount=ten) for _ in range(6)))
    assert outcomes == {"done": 3, "INVALID_INPUT": 3}
    outcomes = await at_once(*(refund_payment(actor=ADA, target=on(order), amount=ten) for _ in range(6)))
    assert outcomes == {"done": 3, "INVALID_INPUT": 3}
    row = await stored(order)
    assert (row.paid_total, row.refunded_total) == (3980, 3000)


async def test_a_reference_is_taken_once() -> None:
    outcomes = await at_once(*(place(external_reference="A-1") for _ in range(8)))
    assert outcomes == {"done": 1, "DUPLICATE_REFERENCE": 7}


async def test_times_follow_the_order_of_the_log() -> None:
    order = await place()
    await at_once(*(add_order_note(actor=ADA, target=on(order), note=f"{index}") for index in range(20)))
    times = [event.occurred_at for event in await log_of(order)]
    assert times == sorted(times)
    assert (await stored(order)).updated_at == times[-1]


@dataclass(frozen=True)
class _CutOff:
    call: Coroutine[Any, Any, Order]
    at: int

    def __await__(self) -> Generator[Any, Any, Order]:
        resume = partial(self.call.send, None)
        for step in count(1):
            try:
                waited_for = resume()
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if step >= self.at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield waited_for
                resume = partial(self.call.send, None)
            except BaseException as error:
                resume = partial(self.call.throw, error)
        raise AssertionError("unreachable")


async def cut_off(call: Coroutine[Any, Any, Order], *, at: int) -> Order:
    """Runs the call in its task, and cancels the task each time it waits, from the `at`-th time on."""
    return await _CutOff(call, at)


@contextmanager
def counted_rings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[None]]:
    """One entry for each ring of the bell."""
    rings: list[None] = []

    def ring() -> None:
        rings.append(None)

    with monkeypatch.context() as patch:
        patch.setattr(bell, "ring", ring)
        yield rings


async def _ship(order: Order) -> Order:
    tracking = [TrackingInfo("T-1")]
    return await mark_shipped(actor=ADA, target=on(order, idempotency=once("k")), tracking=tracking)


async def _cancel(order: Order) -> Order:
    return await cancel(actor=ADA, target=on(order, idempotency=once("k")))


async def _place(_: Order) -> Order:
    return await place(payments=[paid("10")], external_reference="A-1", idempotency=once("k"))


@pytest.mark.parametrize("step", [_ship, _cancel, _place])
async def test_a_caller_who_is_cut_off_leaves_all_or_nothing(
    step: Callable[[Order], Coroutine[Any, Any, Order]], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for at in count(1):
        order = await confirm_order(actor=ADA, target=on(await place(channel=f"web-{at}")))
        await IdempotencyRecord.all().delete()
        await Order.filter(external_reference="A-1").update(external_reference=None)
        before = await all_rows()
        with counted_rings(monkeypatch) as rings:
            [answer] = await asyncio.gather(asyncio.create_task(cut_off(step(order), at=at)), return_exceptions=True)
        await nobody_writes()
        happened = await all_rows() != before
        outcomes.append(happened)
        assert not happened or rings
        with counted_rings(monkeypatch) as rings:  # the connection is free, and what was done is done whole
            repeated = await step(order)
        assert len(rings) == (0 if happened else 1)
        assert len(await log_of(repeated)) == repeated.version
        async with nothing_changes():
            await step(order)
        if isinstance(answer, Order):
            break
        assert isinstance(answer, asyncio.CancelledError)
    assert len(outcomes) > 6
    assert (outcomes[0], outcomes[-1]) == (False, True)
    if engine == "sqlite":  # on PostgreSQL, a new connection takes more steps, and a commit may win against its end
        assert outcomes == sorted(outcomes)


@pytest.mark.sqlite
async def test_a_caller_who_is_cut_off_while_another_process_writes(database: str) -> None:
    order = await place()
    other = sqlite3.connect(sqlite_path(database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(cut_off(confirm_order(actor=ADA, target=on(order)), at=1))
    while not task.cancelling():  # noqa: ASYNC110 - asyncio offers no event for it
        await asyncio.sleep(0)
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await stored(order)).status is OrderStatus.PENDING
    assert (await confirm_order(actor=ADA, target=on(order))).version == 2


@pytest.mark.sqlite
async def test_nothing_is_written_between_what_a_change_reads_and_what_it_writes(database: str) -> None:
    """Otherwise SQLite would refuse the change as soon as another process has written: "database is locked"."""
    order = await place()
    other = sqlite3.connect(sqlite_path(database), isolation_level=None, timeout=0)
    async with change(ADA) as work:
        await work.lock_order(on(order))
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            other.execute("UPDATE orders SET note = 'Theirs.'")
        await add_order_note(actor=ADA, target=on(order), note="Mine.")
    assert (await stored(order)).note == "Mine."
    other.execute("UPDATE orders SET note = 'Theirs.'")
    other.close()


async def test_commands_inside_a_change_are_one_change(monkeypatch: pytest.MonkeyPatch) -> None:
    order = await place(payments=[authorized("39.80")])
    with counted_rings(monkeypatch) as rings:
        async with change(ADA):
            await confirm_order(actor=ADA, target=on(order))
            await mark_shipped(actor=ADA, target=on(order))
    assert len(rings) == 1
    async with refused(ErrorCode.INVALID_TRANSITION), change(ADA):
        await add_order_note(actor=ADA, target=on(order), note="This is undone.")
        await cancel(actor=ADA, target=on(order))


async def test_the_bell_rings_only_for_what_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    order = await place()
    with counted_rings(monkeypatch) as rings:
        await confirm_order(actor=ADA, target=on(order))
        assert len(rings) == 1
        await confirm_order(actor=ADA, target=on(order, idempotency=once("k")))
        await confirm_order(actor=ADA, target=on(order, idempotency=once("k")))
        async with refused(ErrorCode.VERSION_CONFLICT, "expected_version"):
            await confirm_order(actor=ADA, target=on(order, 1))
    assert len(rings) == 1
