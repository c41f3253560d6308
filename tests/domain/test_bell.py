"""The bell over each broker: heard everywhere, and heard again after whatever befalls the broker."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from domain.stream import bell
from domain.stream.bell import Bell
from domain.stream.brokers import PostgresBackend
from tests.clients import until
from tests.services import PostgresServer, ValkeyServer, postgres_server, valkey_server

BROKERS = ("redis", "postgres")
NOWHERE = {"redis": "redis://127.0.0.1:1", "postgres": "postgres://nobody@127.0.0.1:1/nothing"}


class Listener:
    """A process's bell, and how often it was heard there."""

    def __init__(self, url: str) -> None:
        self.bell = Bell(url)
        self.heard = 0

    def _hear(self) -> None:
        self.heard += 1

    @asynccontextmanager
    async def listening(self, *, connected: bool = True) -> AsyncIterator["Listener"]:
        async with self.bell.running(self._hear):
            await until(lambda: self.bell.state.connected is connected and (connected or self.bell.state.problem))
            yield self

    async def hears(self, ring: Callable[[], None]) -> None:
        """Returns once a ring of this was heard, which must be the first or one soon after it."""
        await asyncio.sleep(0)
        before = self.heard
        ring()
        await until(lambda: self.heard > before)


@pytest.fixture(params=BROKERS)
def url(request: pytest.FixtureRequest) -> str:
    broker: str = request.getfixturevalue(f"{request.param}_url")
    return broker


@pytest.fixture(params=BROKERS)
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[PostgresServer | ValkeyServer]:
    """A broker of the test's own, which may be treated badly."""
    if request.param == "postgres":
        async with postgres_server() as postgres:
            yield postgres
    else:
        async with valkey_server() as valkey:
            yield valkey


def url_of(broker: PostgresServer | ValkeyServer) -> str:
    return broker.url() if isinstance(broker, PostgresServer) else broker.url


async def test_a_ring_is_heard_in_every_process(url: str) -> None:
    async with Listener(url).listening() as one, Listener(url).listening() as other:
        for _ in range(20):
            await other.hears(one.bell.ring)
            await one.hears(other.bell.ring)


@pytest.mark.parametrize("kind", BROKERS)
async def test_a_process_hears_itself_at_once_even_without_a_broker(kind: str) -> None:
    async with Listener(NOWHERE[kind]).listening(connected=False) as alone:
        before = alone.heard
        bell.ring()
        assert alone.heard == before + 1
        assert alone.bell.state.problem == "the broker cannot be reached"


async def test_in_memory_it_is_heard_in_the_process() -> None:
    async with Listener("memory://").listening() as listener:
        before = listener.heard
        bell.ring()
        assert listener.heard == before + 1
        assert listener.bell.state.connected


async def test_many_rings_at_once_are_few_messages(url: str) -> None:
    async with Listener(url).listening() as one, Listener(url).listening() as other:
        for _ in range(1_000):
            one.bell.ring()
        before = other.heard
        await until(lambda: other.heard > before)
        await one.hears(other.bell.ring)  # whatever the first has sent has arrived before this answer does
        assert other.heard - before < 10


async def test_rings_that_follow_one_another_closely_wait_to_be_told_elsewhere_together(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "APART_SECONDS", 3_600)
    async with Listener(url).listening() as one, Listener(url).listening() as other:
        await other.hears(one.bell.ring)
        before = other.heard
        for _ in range(10):
            one.bell.ring()
            await asyncio.sleep(0.001)
        await one.hears(other.bell.ring)
        assert other.heard == before + 1, "its own ring alone"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["restart", "crash"])
async def test_after_the_broker_was_gone_rings_are_heard_again(
    broker: PostgresServer | ValkeyServer, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "HEARTBEAT_SECONDS", 0.1)
    async with Listener(url_of(broker)).listening() as one, Listener(url_of(broker)).listening() as other:
        await other.hears(one.bell.ring)
        before = one.heard
        await (broker.stop() if fault == "restart" else broker.kill())
        await until(lambda: not one.bell.state.connected and not other.bell.state.connected)
        broken_since = one.bell.state.since
        await until(lambda: one.bell.state.problem == "the broker cannot be reached")
        assert one.heard > before, "what was rung while it broke may have been lost: the listener is told to look"
        await broker.start()
        await until(lambda: one.bell.state.connected and other.bell.state.connected)
        assert one.bell.state.since > broken_since
        assert one.bell.state.problem is None
        await other.hears(one.bell.ring)
        await one.hears(other.bell.ring)


async def test_a_broker_that_falls_silent_is_noticed(
    broker: PostgresServer | ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(bell, "ANSWER_SECONDS", 0.3)
    async with Listener(url_of(broker)).listening() as one, Listener(url_of(broker)).listening() as other:
        broker.pause()
        try:
            await until(lambda: not one.bell.state.connected and not other.bell.state.connected)
            assert one.bell.state.problem == "the broker does not answer"
            before = one.heard
            one.bell.ring()
            assert one.heard == before + 1
        finally:
            broker.resume()
        await until(lambda: one.bell.state.connected and other.bell.state.connected)
        await other.hears(one.bell.ring)


@pytest.mark.parametrize("kind", BROKERS)
async def test_attempts_become_rarer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def recorded(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async with Listener(NOWHERE[kind]).listening(connected=False):
        monkeypatch.setattr(asyncio, "sleep", recorded)
        async with asyncio.timeout(60):
            while len(pauses) < 10:
                await sleep(0.001)
        monkeypatch.undo()
    assert all(pause <= bell.LONGEST_PAUSE for pause in pauses)
    assert min(pauses[-3:]) >= bell.LONGEST_PAUSE / 2
    assert pauses[0] <= 4 * bell.FIRST_PAUSE


async def test_nothing_is_left_behind(url: str, caplog: pytest.LogCaptureFixture) -> None:
    before = asyncio.all_tasks()
    async with Listener(url).listening():
        pass
    await until(lambda: asyncio.all_tasks() == before)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_postgres_backend_publishes_for_several_at_the_same_time(postgres_url: str) -> None:
    backend = PostgresBackend(postgres_url)
    await backend.connect()
    await backend.subscribe("news")
    await asyncio.gather(*(backend.publish("news", str(number)) for number in range(50)))
    async with asyncio.timeout(60):
        heard = [await backend.next_published() for _ in range(50)]
    assert {(event.channel, event.message) for event in heard} == {("news", str(number)) for number in range(50)}
    await backend.unsubscribe("news")
    await backend.disconnect()
