"""The soak: a short one whole, and that its checks find what is wrong."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from api.commands.watching import Differences, Event
from api.settings import ROOT
from tests.soak.__main__ import app
from tests.soak.audience import audience
from tests.soak.checks import (
    MOST_EXAMPLES,
    Seen,
    answer_problems,
    log_problems,
    same_log_problems,
    subscriber_problems,
    summed_up,
    wanted_cursors,
)
from tests.soak.faults import EXPLAINED, Fault
from tests.soak.ledger import Ledger, LoggedEvent, StoredOrder
from tests.soak.load import CHANNELS, DONE, NO_ANSWER, Act, Order, Sent
from tests.soak.report import Report

FAULTS = (Fault.KILL_WORKER, Fault.RESTART_POSTGRES, Fault.RESTART_VALKEY, Fault.CUT_SOCKETS)


@pytest.mark.slow
def test_nothing_is_lost_in_a_short_soak() -> None:
    faults = [argument for fault in FAULTS for argument in ("--fault", fault)]
    size = ("--seconds", "5", "--workers", "2", "--subscribers", "20", "--rate", "10", "--seed", "1")
    command = [sys.executable, "-m", "tests.soak", *size, *faults]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=240, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "All is well: nothing lost, nothing twice, nothing out of order.",
    ), done.stdout + done.stderr
    assert ": 0 lost, 0 twice, 0 out of order, 0 of no such log\n" in done.stdout
    assert [EXPLAINED[fault] in done.stdout for fault in FAULTS] == [True] * len(FAULTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "1"], "Invalid value for '--seconds'"),
        (["--workers", "1"], "Invalid value for '--workers'"),
        (["--fault", "earthquake"], "Invalid value for '--fault'"),
        (["--database-url", "sqlite:///tmp/never"], "a soak needs PostgreSQL: postgres://…"),
        (["--fault", "pause-valkey", "--bell", "postgres"], "there is no server of our own for the fault pause-valkey"),
    ],
)
def test_a_soak_that_cannot_begin(options: Sequence[str], message: str) -> None:
    done = CliRunner().invoke(app, options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


# What follows is one small record in which all is well, and what the checks say where it is doctored.

LOG = [
    LoggedEvent(("1", 1), "web-shop", "ORDER_PLACED", None, "PENDING", True),
    LoggedEvent(("2", 1), "store", "ORDER_PLACED", None, "PENDING", True),
    LoggedEvent(("1", 2), "web-shop", "NOTE_ADDED"),
    LoggedEvent(("1", 3), "web-shop", "ORDER_CONFIRMED", "PENDING", "CONFIRMED", True),
    LoggedEvent(("2", 2), "store", "ORDER_CANCELLED", "PENDING", "CANCELLED", True),
]
ORDERS = [StoredOrder("1", 3, "CONFIRMED"), StoredOrder("2", 2, "CANCELLED")]
CURSORS = {event.key: cursor for event, cursor in zip(LOG, "abcde", strict=True)}


def ledger() -> Ledger:
    return Ledger(
        events=list(LOG),
        orders=list(ORDERS),
        keys={"place": "1", "note": "1"},
        marks=Counter({"place": 1, "note": 1}),
    )


def answered(name: str, key: str, version: int, outcome: str = DONE, **given: object) -> Sent:
    act = Act(name, {"orderId": "1", "idempotencyKey": key, **given}, mark=key)
    number = "1" if outcome == DONE else None
    return Sent(act, outcome, 1, 0.0, 0.1, number, version if number else None)


PLACED = answered("placeOrder", "place", 1)
NOTED = answered("addOrderNote", "note", 2)


def test_a_record_in_which_all_is_well() -> None:
    assert log_problems(ledger()) == []
    assert answer_problems([PLACED, NOTED, NOTED], ledger()) == []
    assert same_log_problems([Event(cursor, key) for key, cursor in CURSORS.items()], ledger()) == []


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ("bcde", Differences()),
        ("bde", Differences(lost=1)),
        ("bcdde", Differences(twice=1)),
        ("bcdecde", Differences(twice=3)),
        ("cbde", Differences(out_of_order=1)),
        ("abcde", Differences(foreign=1)),  # which came before the start
        ("bcdex", Differences(foreign=1)),
        ("", Differences(lost=4)),
    ],
)
def test_what_a_subscriber_saw(seen: str, found: Differences) -> None:
    wanted = wanted_cursors(ledger(), CURSORS, "a", lambda _: True)
    good = Seen("good", "bcde", wanted)
    total, problems = subscriber_problems([good, Seen("bad", seen, wanted), good])
    assert total == found
    assert problems == ([f"bad: {found}"] if found else [])


def test_each_kind_of_subscriber_must_see_what_it_asks_for() -> None:
    parts = {part.name: part for part in audience(20, [Order("id", "2", 1, "PENDING")])}
    expected = {
        "everything": "abcde",
        "everything, by SSE": "abcde",
        "everything, much of it": "abcde",
        f"the channel {CHANNELS[0]}": "acd",
        f"the channel {CHANNELS[1]}": "",
        f"the channel {CHANNELS[2]}": "be",
        f"the channel {CHANNELS[2]}, by SSE": "be",
        "1 orders": "be",
        "1 orders, by SSE": "be",
        "statuses": "abde",
        "statuses, by SSE": "abde",
    }
    found = {name: "".join(wanted_cursors(ledger(), CURSORS, "", part.wants)) for name, part in parts.items()}
    assert found == expected


@pytest.mark.parametrize(
    ("events", "orders", "problem"),
    [
        (LOG, [*ORDERS, ORDERS[0]], "2 orders have the number 1"),
        (LOG[:2] + LOG[3:], ORDERS, "order 1 is at version 3, its events have [1, 3]"),
        (LOG[:-1], ORDERS, "order 2 is at version 2, its events have [1]"),
        ([*LOG[:2], LOG[3], LOG[2], LOG[4]], ORDERS, "order 1 is at version 3, its events have [1, 3, 2]"),
        (
            [*LOG[:4], replace(LOG[4], to_status="SHIPPED")],
            [ORDERS[0], replace(ORDERS[1], status="SHIPPED")],
            "order 2 went from PENDING by PENDING→SHIPPED",
        ),
        (
            [*LOG[:4], replace(LOG[4], from_status="CONFIRMED")],
            ORDERS,
            "order 2 went from PENDING by CONFIRMED→CANCELLED",
        ),
        (LOG, [ORDERS[0], replace(ORDERS[1], status="PENDING")], "order 2 is PENDING, its events end with CANCELLED"),
    ],
)
def test_orders_that_do_not_match_their_events(
    events: list[LoggedEvent], orders: list[StoredOrder], problem: str
) -> None:
    assert problem in log_problems(replace(ledger(), events=events, orders=orders))


@pytest.mark.parametrize(
    ("sent", "doctored", "problem"),
    [
        (
            [PLACED, replace(NOTED, version=4)],
            ledger(),
            "addOrderNote was answered with order 1 at version 4, which is not there",
        ),
        (
            [PLACED],
            replace(ledger(), marks=Counter(place=2)),
            "placeOrder under the key place acted 2 times",
        ),
        (
            [NOTED],
            replace(ledger(), marks=Counter()),
            "addOrderNote under the key note was answered with success and did not act",
        ),
        (
            [answered("addOrderNote", "note", 0, "INVALID_TRANSITION")],
            ledger(),
            "addOrderNote under the key note was refused and acted",
        ),
        (
            [answered("confirmOrder", "note", 0, "INVALID_TRANSITION")],
            ledger(),
            "the key note was refused each time and is recorded for order 1",
        ),
        ([NOTED], replace(ledger(), keys={}), "the key note acted on order None, and was answered with 1"),
        ([NOTED], replace(ledger(), keys={"note": "2"}), "the key note acted on order 2, and was answered with 1"),
        (
            [answered("addOrderNote", key, 2, expectedVersion=1) for key in ("note", "place")],
            ledger(),
            "2 changes of order 1 at version 1 succeeded",
        ),
        (
            [answered("addOrderNote", "other", 0, "INTERNAL")],
            ledger(),
            "addOrderNote was answered with INTERNAL after 1 attempts: ",
        ),
        (
            [answered("addOrderNote", "other", 0, NO_ANSWER)],
            ledger(),
            "addOrderNote was answered with no answer after 1 attempts: ",
        ),
        (
            [replace(NOTED, act=replace(NOTED.act, mark=None, conflicts=True))],
            ledger(),
            "a key that was used for another input was answered with done",
        ),
    ],
)
def test_answers_that_do_not_match_the_database(sent: list[Sent], doctored: Ledger, problem: str) -> None:
    assert problem in answer_problems(sent, doctored)


def test_the_api_shows_another_log_than_the_database_has() -> None:
    shown = [Event(cursor, key) for key, cursor in CURSORS.items()]
    expected = ["the API's log has 4 events and is not the database's, which has 5"]
    assert same_log_problems(shown[1:], ledger()) == expected
    assert len(same_log_problems([shown[1], shown[0], *shown[2:]], ledger())) == 1


def test_many_problems_are_summed_up() -> None:
    problems = [f"problem {number}" for number in range(MOST_EXAMPLES + 2)]
    assert summed_up(problems, "of this kind") == [*problems[:MOST_EXAMPLES], "… and 2 more: of this kind"]
    assert summed_up(problems[:MOST_EXAMPLES], "of this kind") == problems[:MOST_EXAMPLES]


def test_a_report_says_what_is_wrong() -> None:
    good, bad = Report("A soak"), Report("A soak", problems=["subscriber 3: 1 lost"])
    assert good.text().endswith("All is well: nothing lost, nothing twice, nothing out of order.")
    assert bad.text().endswith("PROBLEM      subscriber 3: 1 lost")
    assert "All is well" not in bad.text()
