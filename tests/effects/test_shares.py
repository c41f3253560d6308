"""Counterparts that are slow or broken keep nobody else waiting: through a running server, with real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tortoise.expressions import F

from api.settings import Settings
from domain import counterparts
from domain.counterparts import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, PROBE, pause_after
from effects.attempts import ATTEMPT_SECONDS
from effects.claims import MOST_AT_ONCE, MOST_IN_LANE, LaneShares, load_lanes
from effects.engine import Engine
from effects.fulfillment_requests import FulfillmentRequests
from effects.outgoing import Outgoing
from models import Effect, FailingCounterpart, OrderEvent
from models.engine.fields import new_key
from models.enums import EffectKind, EffectState
from tests.clients import WAIT, Server
from tests.effects.mail.post import PostOffice, post_office
from tests.effects.service import LOCAL

LINES = [{"title": "Socks", "sku": "SOCK-1", "quantity": 1, "unitPrice": "9.90", "service": "lager"}]
LANE = "FULFILLMENT_REQUEST:lager"
FAILING = "failingCounterparts { kind gateway fulfillmentService { code } failures pausedUntil waitingSince error }"
SAVE = "mutation ($i: SaveFulfillmentServiceInput!) { saveFulfillmentService(input: $i) { userErrors { code } } }"
RETRY = "mutation ($i: RetryEffectInput!) { retryEffect(input: $i) { effect { state } userErrors { code } } }"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Warehouse:
    """A fulfillment service's server. It dribbles until it is `mended`, or answers with a `status` at once."""

    def __init__(self) -> None:
        self.calls = 0
        self.open = 0
        self.most = 0
        self.status: int | None = None
        self.url = ""
        self.ending = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        self.open += 1
        self.most = max(self.most, self.open)
        await reader.readuntil(b"\r\n\r\n")
        if self.status is not None:
            writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            await self.ending.wait()
            writer.write(b"x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.open -= 1
        writer.close()


@asynccontextmanager
async def warehouse() -> AsyncIterator[Warehouse]:
    house = Warehouse()
    server = await asyncio.start_server(house.serve, "127.0.0.1", 0)
    async with server:
        house.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield house
        house.ending.set()


@pytest.fixture
async def house() -> AsyncIterator[Warehouse]:
    async with warehouse() as house:
        yield house


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with post_office() as office:
        yield office


@pytest.fixture
def settings(database_url: str, office: PostOffice, tmp_path: Path) -> Settings:
    mail_url = f"smtp://127.0.0.1:{office.port}?starttls=none"
    return Settings(
        database_url=database_url,
        effects=True,
        mail_url=mail_url,
        metrics=True,
        poll_seconds=0.1,
        egress_allow=("127.0.0.1",),
    )


async def until(reached: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(WAIT):
        while not await reached():  # noqa: ASYNC110 - nobody tells when it happens
            await asyncio.sleep(0.02)


async def request(server: Server, url: str, number: int = 1, service: str = "lager") -> None:
    """Ask a service at this URL for the lines of so many orders."""
    await server.ask(SAVE, {"i": {"code": service, "name": service, "url": url}})
    for _ in range(number):
        order = await server.place(lines=[{**LINES[0], "service": service}])
        await server.do("confirmOrder", {"orderId": order["id"]})
        await server.do("requestFulfillment", {"orderId": order["id"]})


async def is_confirmed(server: Server, office: PostOffice) -> None:
    """Place an order, and wait for the e-mail that confirms it."""
    before = len(office.messages)
    await server.place(customer={"name": "Anna", "email": "anna@example.com"})

    async def is_there() -> bool:
        return len(office.messages) > before

    await until(is_there)


async def failing(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await server.ask(f"{{ {FAILING} }}"))["failingCounterparts"]
    return found


async def figures(server: Server, name: str) -> list[str]:
    response = await server.http.get(f"http://127.0.0.1:{server.port}/metrics")
    return [line for line in response.text.splitlines() if line.startswith(f"orderstream_effects_{name}{{")]


async def test_a_service_that_dribbles_delays_no_mail_and_no_other_service(
    server: Server, office: PostOffice, house: Warehouse
) -> None:
    await request(server, house.url, 16)

    async def is_full() -> bool:
        return house.open == MOST_IN_LANE

    await until(is_full)
    await is_confirmed(server, office)
    async with warehouse() as other:
        other.status = 200
        await request(server, other.url, 1, "other")

        async def is_heard() -> bool:
            return other.calls == 1

        await until(is_heard)
    assert (house.calls, house.most) == (MOST_IN_LANE, MOST_IN_LANE)


async def make_due() -> None:
    """Have nobody wait before the next attempt."""
    await Effect.filter(state=EffectState.WAITING, leased_until=None).update(due_at=datetime.now(UTC))


async def pause(lane: str) -> None:
    """Have the counterpart of a lane fail until it is paused, and for longer than the test takes."""
    for _ in range(FAILURES):
        await counterparts.record_failure(lane, new_key(), "down")
    await FailingCounterpart.filter(lane=lane).update(paused_until=datetime.now(UTC) + timedelta(minutes=4))


async def flood(number: int, lane: str, **given: Any) -> None:
    """So many effects that wait in a lane for longer than anything else."""
    event = await OrderEvent.all().order_by("id").first()
    assert event is not None
    begun = datetime.now(UTC) - timedelta(days=1)
    effect = {"event_id": event.id, "order_id": event.order_id, "channel_id": event.channel_id, "lane": lane}
    effects = [
        Effect(**effect, kind=EffectKind.FULFILLMENT_REQUEST, target=str(new_key()), due_at=begun, created_at=begun)
        for _ in range(number)
    ]
    await Effect.bulk_create(effects)
    await Effect.filter(lane=lane).update(**given)


async def test_what_waits_for_a_paused_counterpart_hides_nothing_else(
    server: Server, office: PostOffice, house: Warehouse
) -> None:
    await server.place()
    await pause("FULFILLMENT_REQUEST:lager")
    await flood(2_000, "FULFILLMENT_REQUEST:lager")
    await is_confirmed(server, office)
    assert await Effect.filter(lane="FULFILLMENT_REQUEST:lager", attempts__gt=0).count() == 0


@pytest.mark.slow
async def test_a_service_that_fails_is_paused_and_seen_to_be(
    server: Server, office: PostOffice, house: Warehouse
) -> None:
    house.status = 503
    await request(server, house.url, FAILURES)

    async def is_paused() -> bool:
        [*found] = await failing(server)
        return bool(found) and found[0]["pausedUntil"] is not None

    await until(is_paused)
    [found] = await failing(server)
    await pause("FULFILLMENT_REQUEST:lager")
    assert (found["kind"], found["fulfillmentService"], found["gateway"]) == (
        "FULFILLMENT_REQUEST",
        {"code": "lager"},
        None,
    )
    assert found["failures"] >= FAILURES
    assert "503" in found["error"]
    label = 'counterpart="lager",kind="FULFILLMENT_REQUEST"'

    async def is_told() -> bool:
        return f"orderstream_effects_paused{{{label}}} 1.0" in await figures(server, "paused")

    await until(is_told)
    await is_confirmed(server, office)
    calls = house.calls
    await make_due()
    await is_confirmed(server, office)  # it has been looked for effects that are due since
    assert house.calls == calls

    house.status = 200
    await FailingCounterpart.all().update(paused_until=datetime.now(UTC))  # as time does

    async def are_done() -> bool:
        await make_due()
        return not await Effect.exists(kind=EffectKind.FULFILLMENT_REQUEST, state=EffectState.WAITING)

    await until(are_done)

    async def is_over() -> bool:
        return await failing(server) == [] and f"orderstream_effects_paused{{{label}}} 0.0" in await figures(
            server, "paused"
        )

    await until(is_over)


async def test_who_retries_an_effect_has_the_counterpart_tried_with_it(
    server: Server, office: PostOffice, house: Warehouse
) -> None:
    house.status = 410
    await request(server, house.url)

    async def has_failed() -> bool:
        return bool((await server.ask("{ failedEffects { nodes { id } } }"))["failedEffects"]["nodes"])

    await until(has_failed)
    [failed] = (await server.ask("{ failedEffects { nodes { id } } }"))["failedEffects"]["nodes"]
    await pause("FULFILLMENT_REQUEST:lager")
    await flood(3, "FULFILLMENT_REQUEST:lager", target=F("target"))
    house.status = 500
    answer = await server.ask(RETRY, {"i": {"effectId": failed["id"]}})
    assert answer["retryEffect"] == {"effect": {"state": "WAITING"}, "userErrors": []}

    async def is_tried() -> bool:
        [found] = await failing(server)
        return bool(found["failures"] == FAILURES + 1)

    await until(is_tried)
    assert house.calls == 2  # at first, and as the probe: before all that has waited for a day
    row = await FailingCounterpart.get()
    assert row.paused_until is not None
    assert row.paused_until > datetime.now(UTC) + FIRST_PAUSE  # the pause has grown
    assert await Effect.filter(state=EffectState.WAITING, attempts=0).count() == 3


async def test_a_probe_that_finds_nothing_out_is_followed_by_another_at_once(server: Server, house: Warehouse) -> None:
    """The service takes neither request, which may be the requests' fault: it is left alone for neither."""
    house.status = 400
    await request(server, house.url, 0)
    await pause("FULFILLMENT_REQUEST:lager")
    for _ in range(2):
        order = await server.place(lines=LINES)
        await server.do("confirmOrder", {"orderId": order["id"]})
        await server.do("requestFulfillment", {"orderId": order["id"]})
    await FailingCounterpart.all().update(paused_until=datetime.now(UTC))

    async def are_tried() -> bool:
        return await Effect.filter(error__contains="HTTP 400").count() == 2

    await until(are_tried)
    row = await FailingCounterpart.get()
    assert (row.failures, row.probe_id) == (FAILURES, None)
    assert row.paused_until is not None
    assert row.paused_until <= datetime.now(UTC)


async def test_a_service_that_has_moved_is_tried_at_once(server: Server, house: Warehouse) -> None:
    await request(server, "http://127.0.0.1:9/", 0)
    await pause("FULFILLMENT_REQUEST:lager")
    order = await server.place(lines=LINES)
    await server.do("confirmOrder", {"orderId": order["id"]})
    await server.do("requestFulfillment", {"orderId": order["id"]})
    house.status = 200
    await server.ask(SAVE, {"i": {"code": "lager", "name": "Lager", "url": house.url}})

    async def is_heard() -> bool:
        return house.calls == 1 and await failing(server) == []

    await until(is_heard)


async def test_a_mail_server_that_is_down_is_paused_and_no_mail_is_given_up(server: Server, office: PostOffice) -> None:
    office.drops_after = "MAIL"
    for number in range(FAILURES):
        await server.place(customer={"name": "Anna", "email": f"anna{number}@example.com"})

    async def is_paused() -> bool:
        return [each["kind"] for each in await failing(server) if each["pausedUntil"]] == ["EMAIL"]

    await until(is_paused)
    assert not await Effect.exists(state=EffectState.FAILED)
    office.drops_after = None
    await FailingCounterpart.all().update(paused_until=datetime.now(UTC))

    async def are_sent() -> bool:
        await make_due()
        return len(office.messages) == FAILURES

    await until(are_sent)

    async def is_over() -> bool:
        return await failing(server) == []

    await until(is_over)


@pytest.mark.parametrize("answer", ["450 Greylisted", "550 No such user"])
async def test_what_is_refused_of_one_message_is_not_the_servers_fault(
    server: Server, office: PostOffice, answer: str
) -> None:
    for number in range(FAILURES + 1):
        office.answers["RCPT"] = answer
        await server.place(customer={"name": "Anna", "email": f"anna{number}@example.com"})

        async def is_tried(number: int = number) -> bool:
            return await Effect.filter(error__contains=answer[:3]).count() == number + 1

        await until(is_tried)
    assert await failing(server) == []


async def test_what_was_written_while_the_clock_was_ahead_waits_for_nothing(server: Server, office: PostOffice) -> None:
    """An effect that was planned, leased or put off by then, and the pause of its counterpart."""
    await is_confirmed(server, office)

    async def is_done() -> bool:
        return await Effect.exists(state=EffectState.DONE)

    await until(is_done)
    ahead = datetime.now(UTC) + timedelta(days=3650)
    lane = (await Effect.get()).lane
    await FailingCounterpart.create(lane=lane, failures=FAILURES, failing_since=ahead, paused_until=ahead, error="down")
    again = {"state": EffectState.WAITING, "attempts": 0, "data": {}, "due_at": ahead, "leased_until": ahead}
    await Effect.all().update(**again)

    async def is_sent() -> bool:
        return len(office.messages) == 2 and await failing(server) == []

    await until(is_sent)


class TestOneOfSeveralEngines:
    """The server has none of its own here."""

    @pytest.fixture
    def settings(self, database_url: str) -> Settings:
        return Settings(database_url=database_url, egress_allow=("127.0.0.1",), poll_seconds=60)

    async def test_leaves_the_probe_to_others_when_it_stops(self, server: Server, house: Warehouse) -> None:
        async with Engine(server.service.feed, [FulfillmentRequests(Outgoing(LOCAL))]).running():
            await pause(LANE)
            await FailingCounterpart.all().update(paused_until=datetime.now(UTC))
            await request(server, house.url)

            async def is_tried() -> bool:
                return house.calls == 1 and (await FailingCounterpart.get()).probe_id is not None

            await until(is_tried)
        row = await FailingCounterpart.get()
        assert row.probe_id is None
        assert row.paused_until is not None
        assert row.paused_until <= datetime.now(UTC)

    async def test_ends_a_trouble_that_began_after_it_has_looked(self, server: Server, house: Warehouse) -> None:
        async with Engine(server.service.feed, [FulfillmentRequests(Outgoing(LOCAL))]).running():
            await request(server, house.url)

            async def is_tried() -> bool:
                return house.calls == 1

            await until(is_tried)
            await counterparts.record_failure(LANE, new_key(), "down")  # as another worker does
            house.ending.set()

            async def is_over() -> bool:
                return await Effect.exists(state=EffectState.DONE) and not await FailingCounterpart.exists()

            await until(is_over)


@pytest.mark.usefixtures("database")
async def test_one_probe_at_a_time_on_all_workers() -> None:
    lane, first, second = "PAYMENT:stripe", new_key(), new_key()
    for number in range(1, FAILURES + 1):
        assert not await counterparts.begin_probe(lane, first)
        await counterparts.record_failure(lane, new_key(), "down")
        row = await FailingCounterpart.get()
        assert (row.failures, row.paused_until is not None) == (number, number == FAILURES)
    assert not await counterparts.begin_probe(lane, first)  # it is paused
    await counterparts.record_failure(lane, new_key(), "still down")  # was under way before the pause
    row = await FailingCounterpart.get()
    assert (row.failures, row.error) == (FAILURES, "still down")

    await FailingCounterpart.all().update(paused_until=datetime.now(UTC))
    begun = await asyncio.gather(*(counterparts.begin_probe(lane, key) for key in (first, second)))
    assert sorted(begun) == [False, True]
    probe, other = (first, second) if begun[0] else (second, first)
    await counterparts.end_probe(lane, other)  # is not it
    assert not await counterparts.begin_probe(lane, other)
    await counterparts.end_probe(lane, probe)  # has not found out
    assert await counterparts.begin_probe(lane, other)
    await counterparts.record_failure(lane, other, "down")
    row = await FailingCounterpart.get()
    assert (row.failures, row.probe_id) == (FAILURES + 1, None)
    await counterparts.record_success(lane)
    await counterparts.record_failure(lane, new_key(), "down")
    assert (await FailingCounterpart.get()).failures == 1  # they are counted anew


@pytest.mark.usefixtures("database")
async def test_a_probe_whose_process_died_is_followed_by_another() -> None:
    lane = "PAYMENT:stripe"
    for _ in range(FAILURES):
        await counterparts.record_failure(lane, new_key(), "down")
    await counterparts.end_pause(lane)
    assert await counterparts.begin_probe(lane, new_key())
    [found] = await load_lanes()
    assert found.paused_until is not None
    assert timedelta(seconds=ATTEMPT_SECONDS) < found.paused_until - datetime.now(UTC) <= PROBE
    await FailingCounterpart.all().update(paused_until=datetime.now(UTC))
    assert await counterparts.begin_probe(lane, new_key())


def test_pauses_grow_and_end() -> None:
    pauses = [pause_after(failures).total_seconds() for failures in range(1, FAILURES + 8)]
    assert pauses == [0, 0, 0, 0, 15, 30, 60, 120, 240, 300, 300, 300]
    assert timedelta(minutes=5) == LONGEST_PAUSE


def test_each_lane_and_each_kind_has_its_share() -> None:
    shares = LaneShares()
    slow, slower, quick = (f"FULFILLMENT_REQUEST:{name}" for name in ("slow", "slower", "quick"))
    assert (MOST_AT_ONCE, MOST_IN_LANE) == (8, 6)
    assert [shares.free(lane) for lane in (slow, "AUTOMATION:", "EMAIL:smtp")] == [6, 8, 6]
    for lane, number in ((slow, 6), (slower, 2)):
        for _ in range(number):
            shares.begin(lane)
    assert [shares.free(lane) for lane in (slow, slower)] == [0, 0]
    assert shares.free(quick) == 1  # of a kind that has its hands full, each gets a turn
    shares.begin(quick)
    assert shares.free(quick) == 0
    assert [shares.free(lane) for lane in ("AUTOMATION:", "EMAIL:smtp")] == [8, 6]
    for _ in range(2):
        shares.end(slow)
    assert [shares.free(lane) for lane in (slow, slower, quick)] == [1, 1, 1]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("asked", "least"), [(timedelta(seconds=2), 15), (timedelta(seconds=60), 60), (timedelta(days=1), 300)]
)
async def test_a_service_that_asks_for_time_is_paused_as_long(asked: timedelta, least: int) -> None:
    before = datetime.now(UTC)
    for _ in range(FAILURES):
        await counterparts.record_failure("FULFILLMENT_REQUEST:lager", new_key(), "busy", at_least=asked)
    paused_until = (await FailingCounterpart.get()).paused_until
    assert paused_until is not None
    pause = timedelta(seconds=least)
    assert before + pause <= paused_until <= datetime.now(UTC) + pause
