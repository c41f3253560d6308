"""Replaying recorded lives: what is read from the file, what is done with it, and what is found to be wrong."""

import math
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.commands.client import ApiError, Client, client_of
from api.commands.lives import Act, Life, Step, new_order, read_lives, timeline
from api.commands.replay import AlreadyReplayed, Options, app, replay
from api.commands.watching import Differences, differences, quantile
from api.settings import ROOT
from domain.actors import Scope
from models import Customer, Order, OrderEvent, Tracking
from models.enums import OrderStatus
from tests.clients import Server

pytestmark = pytest.mark.wire

HEADER = (
    "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date"
)
NOON = datetime(2018, 1, 1, 12, tzinfo=UTC)
LIVES = [
    "a,anna,delivered,2018-01-01 12:00:00,2018-01-01 12:10:00,2018-01-01 12:40:00,2018-01-05 12:00:00,2018-01-06",
    "b,bert,canceled,2018-01-01 12:05:00,,,,2018-01-06 00:00:00",
    "c,cleo,unavailable,2018-01-01 12:06:00,2018-01-01 12:20:00,,,",
    "d,dora,canceled,2018-01-01 12:07:00,2018-01-01 12:30:00,2018-01-01 12:50:00,,",
    "e,emil,processing,2018-01-01 12:08:00,2018-01-01 12:25:00,,,",
    "f,fred,created,2018-01-01 12:09:00,,,,",
    "g,gina,shipped,2018-01-01 12:01:00,2018-01-01 12:45:00,2018-01-01 12:35:00,,",
    "h,hans,shipped,2018-01-01 12:02:00,,2018-01-01 12:36:00,,",
]
PLACE, CONFIRM, SHIP, CANCEL = Act
STEPS = {
    "a": [(0, PLACE), (10, CONFIRM), (40, SHIP)],
    "b": [(5, PLACE), (5, CANCEL)],
    "c": [(6, PLACE), (20, CONFIRM), (20, CANCEL)],
    "d": [(7, PLACE), (30, CONFIRM), (50, SHIP)],  # cancelled when it had left: the API has no such step
    "e": [(8, PLACE), (25, CONFIRM)],
    "f": [(9, PLACE)],
    "g": [(1, PLACE), (45, CONFIRM), (45, SHIP)],  # had left before the approval was written down
    "h": [(2, PLACE), (36, CONFIRM), (36, SHIP)],  # whose approval was never written down
}
LAST = {"a": "SHIPPED", "b": "CANCELLED", "c": "CANCELLED", "d": "SHIPPED"} | {
    "e": "CONFIRMED",
    "f": "PENDING",
    "g": "SHIPPED",
    "h": "SHIPPED",
}
MUTATIONS = sum(map(len, STEPS.values()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path, HEADER, *LIVES)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "lives.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_lives_are_read_in_steps_that_can_follow_each_other(file: Path) -> None:
    lives = read_lives(file)
    minutes = {
        life.order_id: [((step.at - NOON) / timedelta(minutes=1), step.act) for step in life.steps] for life in lives
    }
    assert minutes == STEPS
    assert {life.order_id: life.last_status for life in lives} == LAST


def test_the_steps_of_all_lives_are_in_the_order_of_their_times(file: Path) -> None:
    steps = timeline(read_lives(file))
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    for order_id, own in STEPS.items():
        assert [step.act for step in steps if step.order_id == order_id] == [act for _, act in own]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "the first line lacks the columns order_id, customer_id"),
        (["order_id,order_status"], "the first line lacks the columns customer_id, order_purchase_timestamp"),
        ([HEADER], "there is no order in it"),
        ([HEADER, ",anna,created,2018-01-01 12:00:00,,,,"], "line 2: an order has an order_id and an"),
        ([HEADER, LIVES[0], "i,ivo,created,,,,,"], "line 3: an order has an order_id and an order_purchase_timestamp"),
        ([HEADER, "i,ivo,created,soon,,,,"], "line 2: order_purchase_timestamp: 'soon' is no time"),
        ([HEADER, LIVES[0], LIVES[0]], "line 3: the order a is in the file twice"),
    ],
)
def test_a_file_that_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match="^" + message):
        read_lives(write(tmp_path, *lines))


def test_what_is_made_up_is_the_same_each_time() -> None:
    lives = [Life(order_id, "anna", False, (Step(order_id, PLACE, NOON),)) for order_id in ("a", "a", "b")]
    first, same, other = (new_order(life, "replay", "reference") for life in lives)
    assert first == same
    assert first["lines"] != other["lines"]


async def test_a_replay_does_what_the_file_says_and_every_subscriber_sees_it(server: Server, file: Path) -> None:
    lives = read_lives(file)
    async with client_of(server.url, server.token) as client:
        report = await replay(client, lives, Options(concurrency=4))
    assert report.problems == []
    assert (report.orders, report.mutations, report.reconnects) == (8, MUTATIONS, 0)
    assert report.counts == {"PENDING": 1, "CONFIRMED": 1, "READY_TO_SHIP": 0, "SHIPPED": 4, "CANCELLED": 2}
    assert report.events == await OrderEvent.all().count()
    assert len(report.latencies) == 3 * MUTATIONS
    assert "All is well" in report.text(3)
    for life in lives:
        order = await Order.get(external_reference=life.order_id)
        assert (order.status, order.placed_at) == (LAST[life.order_id], life.steps[0].at)
    assert [each.carrier for each in await Tracking.all()] == ["Correios"] * 4
    assert await Customer.filter(email="anna@example.com").count() == 1


async def test_a_second_replay_needs_a_name(server: Server, file: Path) -> None:
    lives = read_lives(file)
    await server.place(channel="web")  # what others do elsewhere disturbs nothing
    async with client_of(server.url, server.token) as client:
        assert (await replay(client, lives, Options())).problems == []
        events = await OrderEvent.all().count()
        with pytest.raises(AlreadyReplayed):
            await replay(client, lives, Options())
        assert await OrderEvent.all().count() == events
        assert (await replay(client, lives, Options(run="again"))).problems == []
        assert (await replay(client, lives, Options(channel="other"))).problems == []
    assert await Order.all().count() == 1 + 3 * 8
    assert await Order.filter(external_reference="a/again").count() == 1


async def test_a_rhythm_is_kept(server: Server, file: Path) -> None:
    seconds = 50 * 60 / 3000
    async with client_of(server.url, server.token) as client:
        report = await replay(client, read_lives(file)[:4], Options(speed=3000, subscribers=1))
    assert report.problems == []
    assert seconds <= report.seconds < 10 * seconds


async def test_what_goes_wrong_is_reported(server: Server, file: Path) -> None:
    token = await server.new_token(Scope.ORDERS_READ, Scope.ORDERS_PLACE, Scope.ORDERS_WRITE)
    async with client_of(server.url, token) as client:
        report = await replay(client, read_lives(file), Options())
    refusals = [f"markShipped of {order_id}: This needs the scope fulfillment:write." for order_id in "agdh"]
    assert sorted(report.problems[:4]) == sorted(refusals)
    assert report.problems[4].startswith("the counts have changed by {'PENDING': 1, 'CONFIRMED': 5,")
    assert len(report.problems) == 5
    assert report.text(3).count("PROBLEM") == 5
    assert await Order.filter(status=OrderStatus.SHIPPED).count() == 0


async def test_a_replay_is_given_up_after_many_problems(server: Server, tmp_path: Path) -> None:
    token = await server.new_token(Scope.ORDERS_READ)
    rows = [f"{number},anna,created,2018-01-01 12:00:00,,,," for number in range(100)]
    async with client_of(server.url, token) as client:
        report = await replay(client, read_lives(write(tmp_path, HEADER, *rows)), Options(concurrency=1))
    assert report.problems[:20] == [
        f"placeOrder of {number}: This needs the scope orders:place." for number in range(20)
    ]
    assert report.problems[20] == "gave up after that many problems"
    assert len(report.problems) == 22


async def test_a_client_that_is_refused(server: Server) -> None:
    async with client_of(server.url, "nonsense") as client:
        with pytest.raises(ApiError, match="This token is not valid"):
            await client.ask("{ viewer { name } }")
    async with client_of(server.url.replace("/graphql", "/nowhere"), server.token) as client:
        with pytest.raises(ApiError, match="Not Found"):
            await client.ask("{ viewer { name } }")
    async with client_of(server.url, server.token) as client:
        with pytest.raises(ApiError, match="This is not a cursor of this list"):
            await follow_one(client, "nonsense")


async def follow_one(client: Client, after: str) -> None:
    async for _ in client.follow(f'subscription {{ orderEvents(after: "{after}") {{ cursor }} }}'):
        return


@pytest.mark.parametrize(
    ("seen", "difference"),
    [
        ("abc", Differences()),
        ("ab", Differences(lost=1)),
        ("", Differences(lost=3)),
        ("abbc", Differences(twice=1)),
        ("abca", Differences(twice=1)),
        ("aac", Differences(lost=1, twice=1)),
        ("acb", Differences(out_of_order=1)),
        ("cab", Differences(out_of_order=2)),
        ("abxc", Differences(foreign=1)),
        ("abcd", Differences(foreign=1)),
        ("xcxa", Differences(lost=1, twice=1, out_of_order=1, foreign=1)),
    ],
)
def test_what_a_subscriber_saw_is_compared_with_the_log(seen: Sequence[str], difference: Differences) -> None:
    found = differences(seen, "abc")
    assert found == difference
    assert bool(found) is (seen != "abc")


def test_differences_add_up() -> None:
    total = Differences(1, 2, 3, 4) + Differences(lost=10, foreign=20)
    assert (total, str(total)) == (
        Differences(11, 2, 3, 24),
        "11 lost, 2 twice, 3 out of order, 24 of no such log",
    )


def test_quantiles() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([7.0], 0.99)) == (50.5, 99.0, 7.0)
    assert math.isnan(quantile([], 0.5))


@pytest.mark.slow
def test_the_command_shows_the_whole_thing_on_a_server_of_its_own(file: Path) -> None:
    command = [sys.executable, "-m", "api.commands.replay", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("orders     8 (1 PENDING, 1 CONFIRMED, 4 SHIPPED, 2 CANCELLED)\n")
    assert done.stdout.endswith("All is well: every subscriber saw every event once, in the log's order.\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url", "http://127.0.0.1:9/graphql"], "a URL needs a token: --token or ORDERSTREAM_TOKEN\n"),
        (["--url", "http://127.0.0.1:9/graphql", "--token", "x"], "All connection attempts failed\n"),
    ],
)
def test_the_command_says_what_is_in_its_way(file: Path, options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, [str(file), *options])
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", message)
