"""Automations: what each does and does not do, once, and never against a rule."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.automations import update_automation
from domain.fulfillments.commands import mark_shipped
from domain.fulfillments.services import save_service
from domain.orders.commands import cancel_order, confirm_order, hold_order, release_order
from domain.orders.placing import NewLine
from domain.payments.commands import record_payment
from effects.attempts import attempt
from effects.automations import Automations, automations_after
from effects.payments.payments import Payments
from effects.planning import begin, plan_page
from models import Effect, Order, OrderEvent
from models.enums import ActorKind, AutomationKind, CancelReason, EffectState, OrderEventType, OrderStatus
from tests.domain.shop import (
    ADA,
    HAT,
    SOCKS,
    authorized,
    contents,
    last_event,
    log_of,
    on,
    paid,
    place,
    stored,
    types_of,
)
from tests.effects.due import claim

pytestmark = pytest.mark.usefixtures("database")

EBOOK = NewLine(
    title="E-book",
    quantity=1,
    unit_price=Decimal("5.00"),
    requires_shipping=False,
    download_url="https://files.example/e-book.epub",
)


@pytest.fixture
async def automations() -> Automations:
    await begin()
    return Automations(Payments([]))


async def turn_on(*kinds: AutomationKind) -> None:
    for kind in kinds:
        await update_automation(actor=ADA, kind=kind, enabled=True)


async def run(automations: Automations) -> None:
    """Until nothing is left to do: what an automation does may be what another one waits for."""
    while await plan_page([automations]):
        await Effect.filter(state=EffectState.WAITING).update(due_at=datetime.now(UTC))
        while claimed := await claim(8):
            for effect in claimed:
                await attempt(automations, effect)


async def types_after(automations: Automations, order: Order) -> Sequence[str]:
    await run(automations)
    return await types_of(order)


async def test_nothing_acts_by_itself_unless_it_is_turned_on(automations: Automations) -> None:
    order = await place(payments=[authorized("39.80")])
    assert await types_after(automations, order) == ["ORDER_PLACED", "PAYMENT_AUTHORIZED"]
    assert await Effect.all().count() == 0


async def test_an_order_that_comes_in_is_confirmed(automations: Automations) -> None:
    await turn_on(AutomationKind.CONFIRM_ON_ARRIVAL)
    order = await place()
    assert await types_after(automations, order) == ["ORDER_PLACED", "ORDER_CONFIRMED"]
    placed, event = await log_of(order)
    assert (event.actor_kind, event.actor_id, event.actor_name) == (
        ActorKind.AUTOMATION,
        str(placed.id),
        "CONFIRM_ON_ARRIVAL",
    )
    await run(automations)
    assert len(await log_of(order)) == 2


async def test_in_one_channel_alone(automations: Automations) -> None:
    await update_automation(actor=ADA, kind=AutomationKind.CONFIRM_ON_ARRIVAL, enabled=True)
    first = await place(channel="till")
    await run(automations)
    await update_automation(actor=ADA, kind=AutomationKind.CONFIRM_ON_ARRIVAL, enabled=False, channel="till")
    second = await place(channel="till")
    await run(automations)
    assert [(await stored(each)).status for each in (first, second)] == [OrderStatus.CONFIRMED, OrderStatus.PENDING]


async def test_what_was_authorized_is_captured_on_arrival(automations: Automations) -> None:
    await turn_on(AutomationKind.CAPTURE_ON_ARRIVAL)
    order = await place(payments=[authorized("39.80")])
    unpaid = await place()
    assert (await types_after(automations, order))[2:] == ["PAYMENT_CAPTURED"]
    assert (await stored(order)).outstanding == 0
    assert await types_of(unpaid) == ["ORDER_PLACED"]  # nobody has promised anything


async def test_or_once_all_has_left(automations: Automations) -> None:
    await turn_on(AutomationKind.CAPTURE_ON_SHIPPING)
    order = await confirm_order(actor=ADA, target=on(await place(payments=[authorized("39.80")])))
    assert "PAYMENT_CAPTURED" not in await types_after(automations, order)
    await mark_shipped(actor=ADA, target=on(order))
    assert (await types_after(automations, order))[-2:] == ["ORDER_SHIPPED", "PAYMENT_CAPTURED"]


async def test_what_is_paid_and_needs_no_shipping_is_released(automations: Automations) -> None:
    await turn_on(AutomationKind.FULFILL_ON_PAYMENT)
    order = await confirm_order(actor=ADA, target=on(await place(lines=(EBOOK, HAT))))
    await record_payment(actor=ADA, target=on(order))
    assert (await types_after(automations, order))[2:] == ["PAYMENT_RECORDED", "FULFILLMENT_SHIPPED"]
    assert await contents(order) == [("SHIPPED", [1, 0])]


async def test_paid_first_and_confirmed_later(automations: Automations) -> None:
    await turn_on(AutomationKind.FULFILL_ON_PAYMENT)
    order = await place(lines=(EBOOK,), payments=[paid("5.00")])
    assert (await types_after(automations, order))[2:] == []  # nobody has accepted it
    await confirm_order(actor=ADA, target=on(order))
    assert (await types_after(automations, order))[2:] == ["ORDER_CONFIRMED", "ORDER_SHIPPED"]


async def test_services_are_asked_for_their_lines(automations: Automations) -> None:
    await save_service(actor=ADA, code="lager", name="Lager", url="https://lager.example")
    await turn_on(AutomationKind.FULFILL_ON_PAYMENT)
    lines = (replace(SOCKS, service="lager"), HAT, EBOOK)
    order = await confirm_order(actor=ADA, target=on(await place(lines=lines, payments=[paid("44.80")])))
    assert (await types_after(automations, order))[3:] == ["FULFILLMENT_REQUESTED", "FULFILLMENT_SHIPPED"]
    assert await contents(order) == [("OPEN", [2, 0, 0]), ("SHIPPED", [0, 0, 1])]


async def test_what_is_done_is_archived(automations: Automations) -> None:
    await turn_on(AutomationKind.ARCHIVE_WHEN_DONE)
    order = await confirm_order(actor=ADA, target=on(await place()))
    await mark_shipped(actor=ADA, target=on(order))
    assert (await types_after(automations, order))[-1] == "ORDER_SHIPPED"
    await record_payment(actor=ADA, target=on(order))
    assert (await types_after(automations, order))[-2:] == ["PAYMENT_RECORDED", "ORDER_ARCHIVED"]


async def test_all_three_phases_by_themselves(automations: Automations) -> None:
    await turn_on(*(set(AutomationKind) - {AutomationKind.CAPTURE_ON_SHIPPING}))
    order = await place(lines=(EBOOK,), payments=[authorized("5.00")])
    assert sorted(await types_after(automations, order)) == sorted(
        [
            "ORDER_PLACED",
            "PAYMENT_AUTHORIZED",
            "ORDER_CONFIRMED",
            "PAYMENT_CAPTURED",
            "ORDER_SHIPPED",
            "ORDER_ARCHIVED",
        ]
    )
    assert {event.actor_kind for event in (await log_of(order))[2:]} == {ActorKind.AUTOMATION}
    row = await stored(order)
    assert (row.status, row.archived_at is None) == (OrderStatus.SHIPPED, False)


async def test_what_a_rule_refuses_is_told_and_not_tried_again(automations: Automations) -> None:
    await turn_on(AutomationKind.CAPTURE_ON_ARRIVAL)
    order = await place(payments=[authorized("39.80", "klarna")])
    assert (await types_after(automations, order))[2:] == ["AUTOMATION_REFUSED"]
    event = await last_event(order)
    assert event.data == {
        "automation": "CAPTURE_ON_ARRIVAL",
        "code": "UNKNOWN_GATEWAY",
        "reason": "No gateway klarna is set up to capture from.",
    }
    assert event.actor_name == "CAPTURE_ON_ARRIVAL"
    assert (await Effect.get()).state is EffectState.DONE


async def test_what_somebody_else_has_done_meanwhile_is_left_as_it_is(automations: Automations) -> None:
    await turn_on(AutomationKind.CONFIRM_ON_ARRIVAL, AutomationKind.ARCHIVE_WHEN_DONE)
    order = await place()
    await cancel_order(actor=ADA, target=on(order), reason=CancelReason.STAFF)
    assert await types_after(automations, order) == ["ORDER_PLACED", "ORDER_CANCELLED"]


async def test_an_order_on_hold_is_left_alone_until_it_is_released(automations: Automations) -> None:
    await turn_on(*(set(AutomationKind) - {AutomationKind.CAPTURE_ON_SHIPPING}))
    order = await place(lines=(EBOOK,), payments=[authorized("5.00")])
    await hold_order(actor=ADA, target=on(order), reason="Look at this.")
    assert (await types_after(automations, order))[2:] == ["ORDER_HELD"]
    await release_order(actor=ADA, target=on(order))
    assert sorted((await types_after(automations, order))[3:]) == sorted(
        ["ORDER_RELEASED", "ORDER_CONFIRMED", "PAYMENT_CAPTURED", "ORDER_SHIPPED", "ORDER_ARCHIVED"]
    )


@pytest.mark.parametrize("event_type", list(OrderEventType))
def test_what_triggers_an_automation(event_type: OrderEventType) -> None:
    """What automations do leads to others' turns at most: none is its own cause."""
    expected: dict[str, set[Any]] = {
        "ORDER_PLACED": {AutomationKind.CONFIRM_ON_ARRIVAL, AutomationKind.CAPTURE_ON_ARRIVAL},
        "ORDER_SHIPPED": {AutomationKind.CAPTURE_ON_SHIPPING, AutomationKind.ARCHIVE_WHEN_DONE},
        "ORDER_CONFIRMED": {AutomationKind.FULFILL_ON_PAYMENT},
    }
    assert automations_after(OrderEvent(type=event_type)) == expected.get(event_type.value, set())
