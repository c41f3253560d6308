"""A soak from its beginning to its report."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from tempfile import TemporaryFile

import httpx

from api.commands.client import ApiError, Client, client_of
from api.commands.temporary_server import server_process
from api.commands.watching import CATCH_UP_SECONDS, EventKey, Watcher, end_of_log, events_after
from domain.actors import Scope, system
from domain.tokens import create_token
from models.engine.database import connected, is_postgres, migrate
from tests.services import PostgresServer, ValkeyServer, postgres_server, valkey_server
from tests.soak import ledger
from tests.soak.audience import WIDE, Part, audience
from tests.soak.checks import (
    Seen,
    answer_problems,
    log_problems,
    same_log_problems,
    subscriber_problems,
    summed_up,
    wanted_cursors,
)
from tests.soak.ending import check_connections, check_rest, end, faults_in
from tests.soak.faults import Fault, Faults, Probe, Stage, possible_faults
from tests.soak.load import Load, Sent
from tests.soak.report import Report

CLIENTS = 8  # that send mutations, each on connections of its own
CLIENT_SECONDS = 15.0  # for which one of them waits for an answer before it asks again
FIRST_ORDERS = 12
QUIET_SHARE, LEAST_QUIET_SECONDS = 0.15, 2.0  # of the time, at its end, without faults
POOL_SIZE = 5  # connections of each worker
SERVER_SETTINGS = {"STALL_SECONDS": "2", "PING_SECONDS": "2"}  # so that what they do is seen within a minute


class Bell(StrEnum):
    REDIS = "redis"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Options:
    """`database_url` and `broadcast_url` are those of servers that run already; by default they are our own.

    `faults` are those to be injected, by default all that are possible.
    """

    seconds: float = 60.0
    workers: int = 4
    subscribers: int = 200
    rate: float = 12.0
    bell: Bell = Bell.REDIS
    database_url: str | None = None
    broadcast_url: str | None = None
    faults: Sequence[Fault] = ()
    seed: int = 0


@dataclass
class _Services:
    database_url: str
    broadcast_url: str
    postgres: PostgresServer | None = None
    valkey: ValkeyServer | None = None


@dataclass
class _Follower:
    part: Part
    watcher: Watcher
    task: asyncio.Task[None] = field(init=False)

    def start(self) -> None:
        self.task = asyncio.create_task(self.watcher.run())


async def soak(options: Options, say: Callable[[str], None]) -> Report:
    """`say` is told how it goes. Raises `ValueError` and `RuntimeError` where it cannot begin."""
    report = Report(
        f"{options.seconds:.0f} s with {options.workers} workers, {options.subscribers} subscribers,"
        f" {options.rate:.0f} mutations/s, bell {options.bell}, seed {options.seed}"
    )
    async with AsyncExitStack() as stack:
        services = await _start_services(stack, options)
        token = await _prepare(services.database_url)
        log = stack.enter_context(TemporaryFile())  # noqa: SIM115 - the stack closes it
        environment = {**SERVER_SETTINGS, "BROADCAST_URL": services.broadcast_url}
        async with (
            _slow_commits(services.database_url),
            server_process(
                services.database_url, "--workers", str(options.workers), environment=environment, log=log
            ) as (url, process),
        ):
            clients = [await stack.enter_async_context(client_of(url, token, CLIENT_SECONDS)) for _ in range(CLIENTS)]
            followers = await _play(clients, services, options, process.pid, report, say)
            await check_connections(services.database_url, services.broadcast_url, options.workers, report)
            await end(process, [each.watcher for each in followers if each.part is WIDE], report)
            await _leave(followers)
        await check_rest(services.database_url, report)
        report.problems += faults_in(log)
    return report


async def _leave(followers: Sequence[_Follower]) -> None:
    for each in followers:
        each.task.cancel()
    await asyncio.gather(*(each.task for each in followers), return_exceptions=True)


async def _start_services(stack: AsyncExitStack, options: Options) -> _Services:
    """Raises `RuntimeError` where a server does not start."""
    if options.database_url is not None and not is_postgres(options.database_url):
        raise ValueError("a soak needs PostgreSQL: postgres://…")
    postgres = valkey = None
    if options.database_url is None:
        postgres = await stack.enter_async_context(postgres_server())
    database_url = options.database_url or f"{postgres.url() if postgres else ''}?maxsize={POOL_SIZE}"
    if options.broadcast_url is None and options.bell is Bell.REDIS:
        valkey = await stack.enter_async_context(valkey_server())
    broadcast_url = options.broadcast_url or (valkey.url if valkey else database_url.partition("?")[0])
    for fault in options.faults:
        if fault not in possible_faults(postgres, valkey):
            raise ValueError(f"there is no server of our own for the fault {fault}")
    return _Services(database_url, broadcast_url, postgres, valkey)


async def _prepare(database_url: str) -> str:
    """Migrates an empty database. A token for everything. Raises `ValueError` where it is not empty."""
    await migrate(database_url)
    if not await ledger.is_empty(database_url):
        raise ValueError("the database has orders already: a soak needs one of its own")
    async with connected(database_url):
        _, token = await create_token(actor=system("scripts/soak"), name="soak", scopes=list(Scope))
    return token


@asynccontextmanager
async def _slow_commits(database_url: str) -> AsyncIterator[None]:
    await ledger.commit_slowly(database_url)
    try:
        yield
    finally:
        await ledger.commit_as_usual(database_url)


async def _play(
    clients: Sequence[Client],
    services: _Services,
    options: Options,
    server_pid: int,
    report: Report,
    say: Callable[[str], None],
) -> list[_Follower]:
    """The load, the subscribers and the faults, and then what came of it. The subscribers follow on."""
    chance = random.Random(options.seed)
    load = Load(clients, chance, options.rate)
    for _ in range(FIRST_ORDERS):
        await load.send(load.place())
    probed = await load.send(load.place(), apart=True)
    if not probed.done:
        raise RuntimeError(f"no order can be placed: {probed.message}")
    start = await end_of_log(clients[0])
    parts = audience(options.subscribers, list(load.orders))
    followers = [
        _Follower(part, Watcher(clients[n % CLIENTS], start, part.subscription)) for n, part in enumerate(parts)
    ]
    watchers = [each.watcher for each in followers]
    for each in followers:
        each.start()
    probe = Probe(load, probed.order["id"], start, [each.watcher for each in followers if each.part.everything])
    stage = Stage(server_pid, options.workers, watchers, services.postgres, services.valkey)
    faults = Faults(stage, probe, chance, say)
    quiet = await _disturb(load, faults, options, services.database_url)
    report.problems += faults.problems
    report.gaps = dict(sorted(faults.gaps.items()))
    await _compare(clients[0], services.database_url, load, followers, start, quiet, report)
    return followers


async def _disturb(load: Load, faults: Faults, options: Options, database_url: str) -> float:
    """The load, with faults for most of the time and without in the end: when that began."""
    stop = asyncio.Event()
    loading = asyncio.create_task(load.run(stop))
    began = time.monotonic()
    try:
        await faults.probe.work()  # everything works before it is disturbed
        quiet_seconds = max(LEAST_QUIET_SECONDS, QUIET_SHARE * options.seconds)
        chosen = options.faults or possible_faults(faults.stage.postgres, faults.stage.valkey)
        await faults.run(chosen, began + options.seconds - quiet_seconds)
        await ledger.commit_as_usual(database_url)
        quiet = time.monotonic()
        await asyncio.sleep(quiet_seconds)
    finally:
        stop.set()
        await loading
    return quiet


async def _compare(
    client: Client,
    database_url: str,
    load: Load,
    followers: Sequence[_Follower],
    start: str,
    quiet: float,
    report: Report,
) -> None:
    """All that was answered and seen with all that the database has."""
    stored = await ledger.read_ledger(database_url)
    report.sent, report.events, report.orders = load.sent, len(stored.events), len(stored.orders)
    report.problems += log_problems(stored) + answer_problems(load.sent, stored)
    try:
        shown, _ = await events_after(client, None)
    except (ApiError, httpx.HTTPError) as error:
        report.problems.append(f"the API does not show the log: {error!r}")
        return
    cursors = {event.key: event.cursor for event in shown}
    wanted = [wanted_cursors(stored, cursors, start, each.part.wants) for each in followers]
    await _catch_up(followers, wanted)
    seen = [
        Seen(f"subscriber {number} ({each.part.name})", list(each.watcher.cursors), its)
        for number, (each, its) in enumerate(zip(followers, wanted, strict=True), 1)
    ]
    ended = [f"a subscriber has ended: {each.task.exception()!r}" for each in followers if each.task.done()]
    report.differences, problems = subscriber_problems(seen)
    report.problems += [
        *summed_up(ended, "subscribers that ended"),
        *same_log_problems(shown, stored),
        *problems,
    ]
    report.subscribers, report.deliveries = len(seen), sum(len(each.cursors) for each in seen)
    for each in followers:
        report.reconnects += each.watcher.reconnects
        report.closings += each.watcher.closings
    report.latencies = _latencies([sent for sent in load.sent if sent.sent_at > quiet], followers, cursors)


async def _catch_up(followers: Sequence[_Follower], wanted: Sequence[Sequence[str]]) -> None:
    """Gives everybody the time to see the last event that they should; the comparison finds out who has not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CATCH_UP_SECONDS):
            for follower, cursors in zip(followers, wanted, strict=True):
                if cursors and not follower.task.done():
                    await follower.watcher.reach(cursors[-1])


def _latencies(sent: Sequence[Sent], followers: Sequence[_Follower], cursors: Mapping[EventKey, str]) -> list[float]:
    """Seconds from an answer to its event's arrival, 0 where that was earlier, for what these changes did."""
    return [
        max(0.0, arrived - each.answered_at)
        for each in sent
        if each.number is not None and each.version is not None
        for follower in followers
        if (arrived := follower.watcher.arrived.get(cursors.get((each.number, each.version), ""), 0)) > each.sent_at
    ]
