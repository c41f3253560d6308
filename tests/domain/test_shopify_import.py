"""Importing orders in Shopify's JSON: the file's forms, a second run, orders that cannot be read, and the command."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.commands.import_orders import app
from domain.imports import shopify
from domain.imports.formats import FORMATS
from domain.imports.running import ImportReport, Result
from models import Channel, Order, OrderEvent, OrderLine, OrderTag
from models.engine.file_urls import file_url
from models.enums import ActorKind, FulfillmentStatus, OrderSource, OrderStatus, PaymentStatus
from tests.domain.shopify_orders import (
    TABLES,
    at,
    column,
    events,
    imported,
    parcel,
    refund,
    row_counts,
    run,
    shopify_order,
    statuses,
    transaction,
    without,
)


async def test_an_open_paid_order(database: str) -> None:
    order = await imported(shopify_order())
    assert (order.subtotal, order.discount_total, order.shipping_total) == (8100, 900, 900)
    assert (order.tax_total, order.total, order.currency) == (729, 9729, "CHF")
    assert statuses(order) == (OrderStatus.PENDING, PaymentStatus.PAID, FulfillmentStatus.UNFULFILLED)
    assert order.placed_at == at("2024-03-01T08:00:00")
    assert (order.external_reference, order.external_number) == ("5001", "#1001")
    assert (order.source, order.locale, order.note) == (OrderSource.ONLINE, "de-CH", "Please ring twice.")
    assert not order.taxes_included
    assert await column(OrderTag, "tag") == ["fragile", "vip"]
    assert (await Channel.get()).code == "web"


async def test_each_event_is_the_channels_at_its_time(database: str) -> None:
    order = await imported(
        shopify_order(
            fulfillment_status="fulfilled",
            closed_at="2024-03-05T12:00:00Z",
            fulfillments=[
                parcel((71, 1), at="2024-03-02T10:00:00Z", tracking_number="LX1", tracking_company="Post"),
                parcel((71, 1), (72, 1), at="2024-03-03T10:00:00Z"),
            ],
        )
    )
    assert statuses(order) == (OrderStatus.SHIPPED, PaymentStatus.PAID, FulfillmentStatus.FULFILLED)
    assert order.confirmed_at == at("2024-03-02T10:00:00")
    assert order.shipped_at == at("2024-03-03T10:00:00")
    assert order.archived_at == order.updated_at == at("2024-03-05T12:00:00")
    assert await events(order) == [
        ("ORDER_PLACED", at("2024-03-01T08:00:00")),
        ("PAYMENT_RECORDED", at("2024-03-01T08:00:00")),
        ("ORDER_CONFIRMED", at("2024-03-02T10:00:00")),
        ("TRACKING_ADDED", at("2024-03-02T10:00:00")),
        ("FULFILLMENT_SHIPPED", at("2024-03-02T10:00:00")),
        ("ORDER_SHIPPED", at("2024-03-03T10:00:00")),
        ("ORDER_ARCHIVED", at("2024-03-05T12:00:00")),
    ]
    actors = {(event.actor_kind, event.actor_id) for event in await OrderEvent.all()}
    assert actors == {(ActorKind.CHANNEL, "web")}


async def test_times_before_the_order_move_to_it(database: str) -> None:
    early = refund(amount="10.00")
    early["transactions"][0]["processed_at"] = "2005-08-05T12:59:12-04:00"
    order = await imported(shopify_order(financial_status="partially_refunded", refunds=[early]))
    times = [time for _, time in await events(order)]
    assert times == sorted(times)
    assert times[0] == order.placed_at


async def test_a_second_run_changes_nothing(database: str) -> None:
    document = {"orders": [shopify_order(fulfillments=[parcel((71, 1))]), shopify_order(id=5002, name="#1002")]}
    assert [outcome.result for outcome in await run(document)] == [Result.IMPORTED] * 2
    before = await row_counts()
    assert [outcome.result for outcome in await run(document)] == [Result.ALREADY_THERE] * 2
    assert await row_counts() == before
    assert await Channel.all().count() == 1


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (shopify_order(), "order"),
        ({"order": shopify_order()}, "order"),
        ([shopify_order()], "orders[0]"),
        ([{"order": shopify_order()}], "orders[0]"),
        ({"orders": [shopify_order()]}, "orders[0]"),
        ({"orders": shopify_order()}, "order"),
    ],
    ids=["order", "wrapped", "list", "list of wrapped", "wrapped list", "one under orders"],
)
async def test_every_wrapping(database: str, document: Any, path: str) -> None:
    assert await run(document) == [ImportReport(path, Result.IMPORTED)]


async def test_the_oldest_form(database: str) -> None:
    """As of 2008: no sets, no allocations, no refunds, no statuses; only what an order cannot do without."""
    order = await imported(
        {
            "token": "b1946ac9",
            "order_number": 1007,
            "created_at": "2008-01-10T11:00:00-05:00",
            "currency": "USD",
            "total_price": "409.94",
            "total_discounts": "10.00",
            "subtotal_price": 388,
            "total_tax": "11.94",
            "discount_codes": [{"code": "TENOFF", "amount": "10.00"}],
            "line_items": [{"title": "iPod", "quantity": "2", "price": "199.00", "total_discount": "10.00"}],
            "shipping_lines": [{"title": "Free Shipping", "price": "10.00"}],
        }
    )
    assert (order.external_reference, order.external_number) == ("b1946ac9", "#1007")
    assert (order.subtotal, order.discount_total, order.shipping_total) == (38800, 1000, 1000)
    assert (order.tax_total, order.total) == (1194, 40994)
    assert statuses(order) == (OrderStatus.PENDING, PaymentStatus.PENDING, FulfillmentStatus.UNFULFILLED)
    assert order.placed_at == at("2008-01-10T16:00:00")
    assert order.customer_id is None
    assert (await OrderLine.get()).discount_total == 1000


@pytest.mark.parametrize(
    ("missing", "reference"),
    [((), "5001"), (("id",), "5001"), (("id", "admin_graphql_api_id"), "#1001")],
)
async def test_the_reference(database: str, missing: tuple[str, ...], reference: str) -> None:
    order = await imported(without(shopify_order(), *missing))
    assert order.external_reference == reference


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"7", b'"x"', b"null", b"[" * 100_000])
def test_what_is_no_file_of_orders(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        shopify.read_entries(content)


async def test_bad_orders_leave_nothing_and_do_not_stop_the_rest(database: str) -> None:
    bad_line = copy.deepcopy(shopify_order(id=6, name="#6")["line_items"])
    bad_line[1]["price"] = "-50.00"
    unpriced = copy.deepcopy(shopify_order()["line_items"])
    del unpriced[0]["price"], unpriced[0]["price_set"]
    refused_late = shopify_order(id=9, financial_status="paid", fulfillments=[parcel((71, 1))], closed_at="yesterday")
    document = [
        shopify_order(id=1, name="#1"),
        without(shopify_order(id=2, name="#2"), "total_price", "total_price_set"),
        "no order",
        shopify_order(id=4, name="#4", currency="XYZ"),
        shopify_order(id=5, name="#5", total_tax=-1),
        shopify_order(id=6, name="#6", line_items=bad_line),
        shopify_order(id=7, line_items=unpriced),
        shopify_order(id=8, line_items={}),
        refused_late,
        shopify_order(id=10, total_price="97.291"),
        shopify_order(id=1, name="#1 again"),
        without(shopify_order(), "id", "admin_graphql_api_id", "name"),
        None,
        shopify_order(id=11, name="#11"),
    ]
    outcomes = await run(document)
    failed = {outcome.path: outcome.messages[0] for outcome in outcomes if outcome.result is Result.FAILED}
    assert failed == {
        "orders[1]": "total_price: This is missing.",
        "orders[2]": "This must be an object.",
        "orders[3]": "currency: This is not the code of a currency (ISO 4217), such as CHF.",
        "orders[4]": "total_tax: An amount must not be negative.",
        "orders[5]": "line_items[1].price: An amount must not be negative.",
        "orders[6]": "line_items[0].price: This is missing.",
        "orders[7]": "line_items: This must be a list.",
        "orders[8]": "closed_at: This is not a time (ISO 8601), such as 2024-01-31T10:00:00Z.",
        "orders[9]": "total_price: CHF has 2 decimals; this has more.",
        "orders[10]": "the file has this order twice: see orders[0]",
        "orders[11]": "id: This is missing, and so are name and token.",
        "orders[12]": "This must be an object.",
    }
    assert [outcome.path for outcome in outcomes if outcome.result is Result.IMPORTED] == ["orders[0]", "orders[13]"]
    assert await column(Order, "external_reference") == ["1", "11"]
    assert await OrderLine.all().count() == 4
    assert await OrderEvent.all().count() == 4


async def test_an_order_that_the_domain_refuses_leaves_nothing(database: str) -> None:
    lines = copy.deepcopy(shopify_order()["line_items"])
    lines[1]["discount_allocations"] = [{"amount": "50.01"}]
    (outcome,) = await run(shopify_order(line_items=lines))
    assert outcome.result is Result.FAILED
    assert outcome.messages == ("lines[1].discount: A line's discount cannot be above its price.",)
    assert await row_counts() == [0] * len(TABLES)
    assert await Channel.all().count() == 0


async def test_a_step_refused_after_the_placing_takes_the_order_back(database: str) -> None:
    moved = [transaction(10**300, "refund", "1.00")]
    (outcome,) = await run(
        shopify_order(financial_status="partially_refunded", refunds=[refund(amount=None, transactions=moved)])
    )
    assert outcome.result is Result.FAILED
    assert outcome.messages == ("reference: This is 301 characters long; 255 are allowed.",)
    assert await row_counts() == [0] * len(TABLES)


async def test_an_order_of_the_future_is_refused(database: str) -> None:
    (outcome,) = await run(shopify_order(processed_at="2990-01-01T00:00:00Z"))
    assert outcome.messages == ("placed_at: An order cannot be placed in the future.",)
    assert await Order.all().count() == 0


class TestCommandLine:
    """The command as people run it."""

    @pytest.fixture
    def arguments(self, tmp_path: Path) -> list[str]:
        url = file_url("sqlite", tmp_path / "new.sqlite3")
        return ["--channel", "web", "--format", "shopify", "--database-url", url]

    def test_reports_and_counts(self, tmp_path: Path, arguments: list[str]) -> None:
        file = tmp_path / "orders.json"
        bad = without(shopify_order(id=2, name="#2"), "total_price", "total_price_set")
        file.write_text(
            json.dumps({"orders": [shopify_order(id=1), bad, shopify_order(id=3, test=True, name="#3")]}),
            encoding="utf-8",
        )
        first = CliRunner().invoke(app, [str(file), *arguments])
        assert first.stdout == "2 imported, 0 already there, 1 failed\n"
        assert first.stderr.splitlines() == [
            "orders[1] #2 (2): failed: total_price: This is missing.",
            "orders[2] #3 (3): warning: this is a test order",
        ]
        assert first.exit_code == 1
        second = CliRunner().invoke(app, [str(file), *arguments])
        assert second.stdout == "0 imported, 2 already there, 1 failed\n"
        assert second.stderr.splitlines() == ["orders[1] #2 (2): failed: total_price: This is missing."]

    def test_reads_stdin(self, arguments: list[str]) -> None:
        result = CliRunner().invoke(app, ["-", *arguments], input=json.dumps({"order": shopify_order()}))
        assert (result.stdout, result.stderr, result.exit_code) == ("1 imported, 0 already there, 0 failed\n", "", 0)

    def test_an_unreadable_file(self, tmp_path: Path, arguments: list[str]) -> None:
        missing = CliRunner().invoke(app, [str(tmp_path / "none.json"), *arguments])
        assert (missing.exit_code, missing.stdout) == (2, "")
        assert "none.json" in missing.stderr
        broken = CliRunner().invoke(app, ["-", *arguments], input="{")
        assert broken.exit_code == 2
        assert not (tmp_path / "new.sqlite3").exists()

    def test_a_format_that_there_is_not(self, tmp_path: Path, arguments: list[str]) -> None:
        arguments[3] = "woo"
        result = CliRunner().invoke(app, ["-", *arguments], input=json.dumps(shopify_order()))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"--format: woo is not a format. There is: {', '.join(FORMATS)}.\n"
        assert not (tmp_path / "new.sqlite3").exists()

    def test_a_code_that_no_channel_can_have(self, arguments: list[str]) -> None:
        arguments[1] = "no channel"
        result = CliRunner().invoke(app, ["-", *arguments], input=json.dumps(shopify_order()))
        assert result.exit_code == 2
        assert "letters, digits" in result.stderr

    def test_help(self) -> None:
        result = CliRunner().invoke(app, ["--help"])
        assert result.exit_code == 0
        words = " ".join(result.stdout.split())
        assert "A second run imports nothing twice." in words
        assert all(f"{name}: {each.description}" in words for name, each in FORMATS.items())
