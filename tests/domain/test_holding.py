"""Putting orders on hold, and turning automations on and off."""

import asyncio

import pytest

from domain.actors import Forbidden, Scope
from domain.automations import enabled_automations, list_automations, update_automation
from domain.channels import ensure_channel
from domain.errors import ErrorCode
from domain.orders.commands import cancel_order, confirm_order, hold_order, release_order
from models import Automation
from models.enums import AutomationKind, CancelReason
from tests.domain.shop import ADA, last_event, nothing_changes, on, place, refused, staff, stored, types_of

pytestmark = pytest.mark.usefixtures("database")

CONFIRM, ARCHIVE = AutomationKind.CONFIRM_ON_ARRIVAL, AutomationKind.ARCHIVE_WHEN_DONE


async def test_holding_and_releasing() -> None:
    order = await place()
    held = await hold_order(actor=ADA, target=on(order), reason=" Looks like fraud. ")
    assert held.held_at is not None
    assert (await stored(order)).hold_reason == "Looks like fraud."
    event = await last_event(order)
    assert (event.message, event.data) == (
        "The order was put on hold: Looks like fraud.",
        {"reason": "Looks like fraud."},
    )
    async with nothing_changes():
        await hold_order(actor=ADA, target=on(order), reason="Something else.")
    await confirm_order(actor=ADA, target=on(order))  # people are not held up
    await release_order(actor=ADA, target=on(order))
    row = await stored(order)
    assert (row.held_at, row.hold_reason) == (None, None)
    async with nothing_changes():
        await release_order(actor=ADA, target=on(order))
    assert await types_of(order) == ["ORDER_PLACED", "ORDER_HELD", "ORDER_CONFIRMED", "ORDER_RELEASED"]


async def test_who_may_hold_and_why() -> None:
    order = await place()
    for reason in ("", " ", "x" * 1001):
        async with refused(ErrorCode.INVALID_INPUT, "reason"):
            await hold_order(actor=ADA, target=on(order), reason=reason)
    with pytest.raises(Forbidden):
        await hold_order(actor=staff("Eve", Scope.ORDERS_READ), target=on(order), reason="x")
    await cancel_order(actor=ADA, target=on(order), reason=CancelReason.STAFF)
    assert (await hold_order(actor=ADA, target=on(order), reason="x")).held_at is not None


async def test_a_reason_that_is_longer_than_an_events_sentence() -> None:
    order = await place()
    await hold_order(actor=ADA, target=on(order), reason="x" * 1000)
    event = await last_event(order)
    assert (len(event.message), event.message[-2:], event.data["reason"]) == (1024, "x…", "x" * 1000)


async def test_the_shops_setting_holds_where_a_channel_has_none() -> None:
    web, till = [await ensure_channel(ADA, code) for code in ("web", "till")]
    assert (await enabled_automations())(web.id) == set()
    await update_automation(actor=ADA, kind=CONFIRM, enabled=True)
    await update_automation(actor=ADA, kind=CONFIRM, enabled=False, channel="till")
    await update_automation(actor=ADA, kind=ARCHIVE, enabled=True, channel="till")
    assert (await enabled_automations())(web.id) == {CONFIRM}
    assert (await enabled_automations())(till.id) == {ARCHIVE}
    rows = await list_automations(actor=ADA)
    assert [(row.kind, row.channel.code if row.channel else None, row.enabled) for row in rows] == [
        (ARCHIVE, "till", True),
        (CONFIRM, None, True),
        (CONFIRM, "till", False),
    ]
    await update_automation(actor=ADA, kind=CONFIRM, enabled=None, channel="till")
    assert (await enabled_automations())(till.id) == {CONFIRM, ARCHIVE}
    await update_automation(actor=ADA, kind=CONFIRM, enabled=False)
    assert (await enabled_automations())(web.id) == set()


async def test_the_same_setting_at_the_same_time_is_one() -> None:
    await asyncio.gather(*(update_automation(actor=ADA, kind=CONFIRM, enabled=True) for _ in range(6)))
    assert await Automation.all().count() == 1


async def test_who_may_set_automations() -> None:
    web, _ = [await ensure_channel(ADA, code) for code in ("web", "till")]
    bound = staff("Bob", channels=frozenset({web.id}))
    await update_automation(actor=bound, kind=CONFIRM, enabled=True, channel="web")
    await update_automation(actor=ADA, kind=CONFIRM, enabled=True, channel="till")
    for channel in (None, "till", "nowhere"):
        async with refused(ErrorCode.INVALID_INPUT, "channel"):
            await update_automation(actor=bound, kind=CONFIRM, enabled=True, channel=channel)
    assert [row.channel.code for row in await list_automations(actor=bound)] == ["web"]
    writer = staff("Eve", *(set(Scope) - {Scope.SETTINGS_WRITE}))
    for call in (update_automation(actor=writer, kind=CONFIRM, enabled=True), list_automations(actor=writer)):
        with pytest.raises(Forbidden):
            await call
