"""Fulfillment services: entered, asked to ship, and what they answer with a token of their own."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.actors import Actor, Forbidden, Scope
from domain.delivery_notes.commands import create_delivery_note
from domain.errors import ErrorCode
from domain.fulfillments.commands import (
    TrackingInfo,
    add_tracking,
    mark_ready_to_ship,
    mark_shipped,
    remove_tracking,
    update_tracking,
)
from domain.fulfillments.requests import accept_fulfillment, reject_fulfillment, request_fulfillments
from domain.fulfillments.services import list_services, save_service, signing_secrets
from domain.orders.commands import cancel_order, confirm_order
from domain.tokens import authenticate, create_token
from models import FulfillmentService, Order
from models.enums import CancelReason, RequestStatus
from tests.domain.shop import (
    ADA,
    HAT,
    ISSUER,
    SOCKS,
    contents,
    free_units,
    fulfillments_of,
    last_event,
    nothing_changes,
    numbers_of,
    on,
    place,
    refused,
    staff,
    types_of,
    units,
)

pytestmark = pytest.mark.usefixtures("database")


async def enter(code: str = "lager", **given: Any) -> tuple[FulfillmentService, str | None]:
    return await save_service(**{"actor": ADA, "code": code, "name": code.title(), "url": "https://x.example", **given})


async def confirmed(**given: Any) -> Order:
    """Two Socks that the service Lager ships, and a Hat that the merchant does."""
    given = {"lines": (replace(SOCKS, service="lager"), HAT), **given}
    return await confirm_order(actor=ADA, target=on(await place(**given)))


async def asked() -> tuple[Order, UUID]:
    await enter()
    order = await confirmed()
    await request_fulfillments(actor=ADA, target=on(order))
    [fulfillment] = await fulfillments_of(order)
    return order, fulfillment.id


async def service_actor(code: str = "lager") -> Actor:
    _, secret = await create_token(actor=ADA, name=code.title(), scopes=[Scope.FULFILLMENT_WRITE], service=code)
    actor = await authenticate(secret)
    assert actor is not None
    return actor


async def test_entering_and_changing_a_service() -> None:
    service, secret = await enter()
    assert (service.code, service.name, service.email, service.url) == ("lager", "Lager", None, "https://x.example")
    assert secret is not None
    assert secret.startswith("whsec_")
    changed, none = await enter(name="Lager AG", email="lager@example.com")
    assert (changed.id, changed.name, changed.secret, none) == (service.id, "Lager AG", secret, None)
    _, other = await enter(new_secret=True)
    assert other not in (None, secret)
    _, none = await enter("post", url=None, email="post@example.com")
    assert none is None
    assert [each.code for each in await list_services(actor=ADA)] == ["lager", "post"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"code": ""}, "code"),
        ({"code": "a b"}, "code"),
        ({"name": " "}, "name"),
        ({"url": "ftp://x"}, "url"),
        ({"url": None}, "url"),
        ({"email": "nobody"}, "email"),
    ],
)
async def test_what_a_service_must_have(given: dict[str, Any], field: str) -> None:
    async with refused(ErrorCode.INVALID_INPUT, field):
        await enter(**given)


async def test_who_may_enter_one() -> None:
    with pytest.raises(Forbidden):
        await enter(actor=staff("Eve", *(set(Scope) - {Scope.SETTINGS_WRITE})))


async def test_who_is_bound_to_channels_changes_no_service_of_the_whole_shop() -> None:
    await enter("lager")
    bound = staff("Eve", channels=frozenset({uuid4()}))
    for code in ("lager", "another"):
        async with refused(ErrorCode.INVALID_INPUT, "code"):
            await enter(code, actor=bound, url="https://theirs.example")
    assert await FulfillmentService.all().values_list("code", "url") == [("lager", "https://x.example")]


async def test_a_line_of_a_service_that_there_is_not() -> None:
    async with refused(ErrorCode.INVALID_INPUT, "lines", 1, "service"):
        await place(lines=(SOCKS, replace(HAT, service="nobody")))


async def test_each_service_is_asked_for_its_lines() -> None:
    await enter()
    await enter("post")
    order = await confirmed(lines=(replace(SOCKS, service="lager"), replace(HAT, service="post"), HAT))
    await request_fulfillments(actor=ADA, target=on(order), service="post")
    assert await contents(order) == [("OPEN", [0, 1, 0])]
    await request_fulfillments(actor=ADA, target=on(order))
    assert await contents(order) == [("OPEN", [0, 1, 0]), ("OPEN", [2, 0, 0])]
    assert [each.request_status for each in await fulfillments_of(order)] == [RequestStatus.REQUESTED] * 2
    assert (await types_of(order))[2:] == ["FULFILLMENT_REQUESTED"] * 2
    event = await last_event(order)
    assert event.message == "Lager is asked to ship 2 units."
    assert event.data["fulfillmentId"] == str((await fulfillments_of(order))[1].id)
    async with nothing_changes():
        await request_fulfillments(actor=ADA, target=on(order))


async def test_what_cannot_be_requested() -> None:
    await enter()
    order = await place(lines=(replace(SOCKS, service="lager"),))
    async with refused(ErrorCode.INVALID_TRANSITION):
        await request_fulfillments(actor=ADA, target=on(order))
    plain = await confirmed(lines=(HAT,))
    async with refused(ErrorCode.NOTHING_TO_SHIP):
        await request_fulfillments(actor=ADA, target=on(plain))
    async with refused(ErrorCode.INVALID_INPUT, "service"):
        await request_fulfillments(actor=ADA, target=on(plain), service="nobody")


async def test_the_service_accepts_and_ships() -> None:
    order, key = await asked()
    lager = await service_actor()
    await accept_fulfillment(actor=lager, target=on(order), fulfillment_id=key)
    async with nothing_changes():
        await accept_fulfillment(actor=lager, target=on(order), fulfillment_id=key)
    await mark_shipped(actor=lager, target=on(order), fulfillment_id=key, tracking=[TrackingInfo("T-1", "Post")])
    assert await contents(order) == [("SHIPPED", [2, 0])]
    events = (await types_of(order))[2:]
    assert events == ["FULFILLMENT_REQUESTED", "FULFILLMENT_ACCEPTED", "TRACKING_ADDED", "FULFILLMENT_SHIPPED"]
    event = await last_event(order)
    assert (event.actor_kind, event.actor_name) == ("TOKEN", "Lager")
    [tracking] = await numbers_of(order)
    await update_tracking(actor=lager, target=on(order), tracking_id=tracking.id, number="T-2")
    await add_tracking(actor=lager, target=on(order), info=TrackingInfo("T-3"), fulfillment_id=key)
    async with refused(ErrorCode.INVALID_TRANSITION):
        await reject_fulfillment(actor=lager, target=on(order), fulfillment_id=key, reason="too late")


async def test_the_service_rejects_and_the_units_are_free_again() -> None:
    order, key = await asked()
    lager = await service_actor()
    assert await free_units(order) == [0, 1]
    async with refused(ErrorCode.INVALID_INPUT, "reason"):
        await reject_fulfillment(actor=lager, target=on(order), fulfillment_id=key, reason=" ")
    await reject_fulfillment(actor=lager, target=on(order), fulfillment_id=key, reason="Out of stock.")
    assert await contents(order) == [("CANCELLED", [2, 0])]
    assert await free_units(order) == [2, 1]
    event = await last_event(order)
    assert (event.type, event.message) == ("FULFILLMENT_REJECTED", "Lager does not ship: Out of stock.")
    async with nothing_changes():
        await reject_fulfillment(actor=lager, target=on(order), fulfillment_id=key, reason="Again.")
    async with refused(ErrorCode.INVALID_TRANSITION):
        await accept_fulfillment(actor=lager, target=on(order), fulfillment_id=key)
    await request_fulfillments(actor=ADA, target=on(order))
    assert await contents(order) == [("CANCELLED", [2, 0]), ("OPEN", [2, 0])]


async def test_what_no_service_was_asked_for_is_not_accepted() -> None:
    order = await confirmed(lines=(HAT,))
    await mark_ready_to_ship(actor=ADA, target=on(order))
    [fulfillment] = await fulfillments_of(order)
    async with refused(ErrorCode.INVALID_TRANSITION):
        await accept_fulfillment(actor=ADA, target=on(order), fulfillment_id=fulfillment.id)


async def test_a_cancelled_order_is_not_shipped_by_its_service() -> None:
    order, key = await asked()
    lager = await service_actor()
    await cancel_order(actor=ADA, target=on(order), reason=CancelReason.STAFF)
    async with refused(ErrorCode.INVALID_TRANSITION):
        await accept_fulfillment(actor=lager, target=on(order), fulfillment_id=key)
    async with refused(ErrorCode.INVALID_TRANSITION):
        await mark_shipped(actor=lager, target=on(order), fulfillment_id=key)


async def test_for_a_service_nothing_exists_but_what_it_is_asked_for() -> None:
    order, key = await asked()
    await enter("post")
    lager, post = await service_actor(), await service_actor("post")
    foreign = await confirmed(lines=(HAT,))
    async with refused(ErrorCode.NOT_FOUND, "order_id"):
        await mark_shipped(actor=post, target=on(order), fulfillment_id=key)
    async with refused(ErrorCode.NOT_FOUND, "order_id"):
        await mark_shipped(actor=lager, target=on(foreign), fulfillment_id=key)
    await mark_ready_to_ship(actor=ADA, target=on(order))  # the merchant's own parcel of the same order
    own = (await fulfillments_of(order))[1].id
    await add_tracking(actor=ADA, target=on(order), info=TrackingInfo("M-1"), fulfillment_id=own)
    [tracking] = await numbers_of(order)
    async with refused(ErrorCode.NOT_FOUND, "fulfillment_id"):
        await mark_shipped(actor=lager, target=on(order), fulfillment_id=own)
    async with refused(ErrorCode.NOT_FOUND, "fulfillment_id"):
        await add_tracking(actor=lager, target=on(order), info=TrackingInfo("T-1"), fulfillment_id=own)
    async with refused(ErrorCode.NOT_FOUND, "tracking_id"):
        await update_tracking(actor=lager, target=on(order), tracking_id=tracking.id, number="X")
    async with refused(ErrorCode.NOT_FOUND, "tracking_id"):
        await remove_tracking(actor=lager, target=on(order), tracking_id=tracking.id)
    async with refused(ErrorCode.INVALID_INPUT, "fulfillment_id"):
        await mark_shipped(actor=lager, target=on(order))
    async with refused(ErrorCode.INVALID_INPUT, "lines"):
        await mark_shipped(actor=lager, target=on(order), fulfillment_id=key, lines=await units(order, 1))
    for call in (
        mark_ready_to_ship(actor=lager, target=on(order)),
        request_fulfillments(actor=lager, target=on(order)),
        confirm_order(actor=lager, target=on(order)),
        create_delivery_note(actor=lager, target=on(order), issuer=ISSUER),
        list_services(actor=lager),
    ):
        with pytest.raises(Forbidden):
            await call


async def test_a_services_token_is_good_for_nothing_else() -> None:
    await enter()
    for scopes in ([Scope.ORDERS_READ], [Scope.FULFILLMENT_WRITE, Scope.ORDERS_READ]):
        async with refused(ErrorCode.INVALID_INPUT, "scopes"):
            await create_token(actor=ADA, name="x", scopes=scopes, service="lager")
    async with refused(ErrorCode.INVALID_INPUT, "service"):
        await create_token(actor=ADA, name="x", scopes=[Scope.FULFILLMENT_WRITE], service="nobody")


async def test_a_secret_that_was_replaced_signs_for_a_day() -> None:
    given: dict[str, Any] = {"actor": ADA, "code": "house", "name": "House", "url": "https://house.example.com/"}
    await save_service(**given)
    service, new = await save_service(**given, new_secret=True)
    assert len(signing_secrets(service)) == 2
    for each in service.retired_secrets:  # as a day does
        each["goodUntil"] = (datetime.fromisoformat(each["goodUntil"]) - timedelta(days=1)).isoformat()
    assert signing_secrets(service) == [new]
