"""Importing orders while a server runs: it has no effects unless asked, and what staff do later has."""

import json
import typing
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from domain.automations import update_automation
from domain.global_ids import global_id
from domain.imports import history, shopify
from domain.imports.running import Result, import_orders
from domain.stream.event_log import cursor_at
from models import Effect, Order, OrderEvent
from models.enums import AutomationKind, EffectKind
from tests.api.test_commands import run
from tests.clients import Server, live, planned_to_the_end
from tests.domain.shop import ADA
from tests.domain.shopify_orders import parcel, refund, shopify_order, transaction

pytestmark = pytest.mark.wire

ALL_EVENTS = "subscription ($after: String) { orderEvents(after: $after) { type order { channel { code } } } }"
_DONE_AT = "2024-03-05T10:00:00Z"
_GOODS = ((71, 2), (72, 1))


def old_orders() -> list[dict[str, Any]]:
    """Orders of 2024 to which everything has happened that an import can tell of."""
    lives: tuple[dict[str, Any], ...] = (
        {"financial_status": "paid"},
        {"financial_status": "pending", "source_name": "pos"},
        {"financial_status": "authorized", "transactions": [transaction(1, "authorization", "97.29")]},
        {"financial_status": "voided", "cancelled_at": _DONE_AT, "transactions": _voided()},
        {"cancelled_at": _DONE_AT, "cancel_reason": "customer"},
        {"refunds": [refund(amount="18.00")], "financial_status": "partially_refunded"},
        {"fulfillments": [parcel((71, 1))], "fulfillment_status": "partial"},
        {"fulfillments": [parcel(*_GOODS, tracking_number="T1")], "fulfillment_status": "fulfilled"},
        {"fulfillments": [parcel(*_GOODS)], "fulfillment_status": "fulfilled", "closed_at": _DONE_AT},
        {"fulfillments": [parcel(*_GOODS, status="open", tracking_number="T2")]},
        {"fulfillments": [parcel((71, 1), status="open"), parcel((71, 1), id=32, at=_DONE_AT, status="open")]},
    )
    return [shopify_order(id=number, name=f"#{number}", **each) for number, each in enumerate(lives, start=1)]


def _voided() -> list[dict[str, Any]]:
    return [transaction(1, "authorization", "97.29"), transaction(2, "void", "97.29", parent_id=1)]


def steps_of(documents: Iterable[dict[str, Any]]) -> set[type]:
    return {type(step) for each in documents for step in shopify.read_order("web", each).steps}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    (tmp_path / "settings.toml").write_text('notices = ["team@example.com"]', encoding="utf-8")
    return Settings(
        database_url=database_url,
        effects=True,
        mail_url=f"file://{tmp_path}/mail",
        mail_folder=tmp_path,
        public_url="https://shop.example",
        poll_seconds=0.1,
    )


@pytest.fixture
async def shop(server: Server) -> None:
    """A server with all automations on has planned effects before."""
    for kind in AutomationKind:
        await update_automation(actor=ADA, kind=kind, enabled=True)
    await server.place()
    await planned_to_the_end()


@pytest.fixture
def importing(shop: None, settings: Settings, tmp_path: Path) -> Callable[..., Awaitable[str]]:
    """Runs `scripts/import-orders` and returns what it says."""

    async def run_import(documents: list[dict[str, Any]], *arguments: str) -> str:
        file = tmp_path / "orders.json"
        file.write_text(json.dumps(documents), encoding="utf-8")
        command = ("api.commands.import_orders", str(file), "--channel", "old-shop", *arguments)
        code, out, err = await run(settings.database_url, *command)
        assert code == 0, err
        await planned_to_the_end()
        return out

    return run_import


async def imported() -> list[Order]:
    return await Order.filter(external_reference__not_isnull=True).order_by("number")


async def effects_of(orders: list[Order]) -> list[Effect]:
    return await Effect.filter(order_id__in=[order.id for order in orders]).order_by("id")


async def test_an_import_has_effects_only_if_asked(server: Server, importing: Callable[..., Awaitable[str]]) -> None:
    documents = old_orders()
    # A step that is new in imports needs an order here to which it has happened.
    assert steps_of(documents) == set(typing.get_args(history.Step))
    async with live(server) as client:
        await client.subscribe(ALL_EVENTS, {"after": cursor_at(0)})
        assert await importing(documents) == f"{len(documents)} imported, 0 already there, 0 failed\n"
        orders = await imported()
        events = await OrderEvent.filter(order_id__in=[order.id for order in orders]).order_by("id")
        heard: list[str] = []
        while len(heard) < len(events):
            event = (await client.next())["orderEvents"]
            heard += [event["type"]] if event["order"]["channel"]["code"] == "old-shop" else []
    assert heard == [event.type for event in events]
    assert set(heard) == {
        *("ORDER_PLACED", "ORDER_CONFIRMED", "ORDER_CANCELLED", "ORDER_READY_TO_SHIP", "ORDER_SHIPPED"),
        *("ORDER_ARCHIVED", "FULFILLMENT_OPENED", "FULFILLMENT_SHIPPED", "TRACKING_ADDED"),
        *("PAYMENT_AUTHORIZED", "PAYMENT_RECORDED", "PAYMENT_REFUNDED", "PAYMENT_VOIDED"),
    }
    assert await effects_of(orders) == []
    assert await importing([*documents, shopify_order(id=99)], "--with-effects") == (
        f"1 imported, {len(documents)} already there, 0 failed\n"
    )
    *again, new = await imported()
    assert [(order.version, order.status) for order in again] == [(order.version, order.status) for order in orders]
    assert await effects_of(again) == []
    assert {(effect.kind, effect.subject) for effect in await effects_of([new])} >= {
        (EffectKind.EMAIL, "ORDER_CONFIRMATION"),
        (EffectKind.EMAIL, "NEW_ORDER"),
        (EffectKind.AUTOMATION, "CONFIRM_ON_ARRIVAL"),
    }


async def test_what_staff_do_later_has_effects(server: Server, shop: None) -> None:
    documents = [(str(number), shopify_order(id=number)) for number in (1, 2, 3)]
    async for outcome in import_orders("old-shop", documents, shopify.read_order):
        assert outcome.result is Result.IMPORTED
    first, second, third = await imported()
    await server.do("cancelOrder", {"orderId": global_id("Order", first.id), "reason": "STAFF"})
    await server.do("confirmOrder", {"orderId": global_id("Order", second.id)})
    await server.do("markShipped", {"orderId": global_id("Order", second.id)})
    await planned_to_the_end()
    assert [effect.subject for effect in await effects_of([first])] == ["CANCELLATION"]
    assert {effect.subject for effect in await effects_of([second])} >= {
        *("FULFILL_ON_PAYMENT", "SHIPPING_CONFIRMATION", "ARCHIVE_WHEN_DONE", "CAPTURE_ON_SHIPPING"),
    }
    # A hold is over: what automations had missed meanwhile is caught up with, and nothing that they never had to do.
    await server.do("holdOrder", {"orderId": global_id("Order", third.id), "reason": "Ask"})
    await server.do("releaseOrder", {"orderId": global_id("Order", third.id)})
    await planned_to_the_end()
    assert await effects_of([third]) == []
    await server.do("holdOrder", {"orderId": global_id("Order", third.id), "reason": "Ask"})
    await server.do("confirmOrder", {"orderId": global_id("Order", third.id)})
    await planned_to_the_end()
    confirmed = await effects_of([third])
    await server.do("releaseOrder", {"orderId": global_id("Order", third.id)})
    await planned_to_the_end()
    caught_up = (await effects_of([third]))[len(confirmed) :]
    assert [effect.subject for effect in caught_up].count("FULFILL_ON_PAYMENT") == 1
