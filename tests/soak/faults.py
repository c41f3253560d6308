"""What is done to the server, to those that it depends on, and to its subscribers, while it works."""

import asyncio
import contextlib
import importlib
import random
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from api.commands.watching import Watcher, all_reach
from tests.services import PostgresServer, ValkeyServer
from tests.soak.load import Load

RECOVERY_SECONDS = 30.0  # within which everything must work again once a fault is over
PAUSE_SECONDS = (1.5, 4.0)  # for which a server is silent
STALL_SECONDS = (2.0, 6.0)  # for which a reader does not read: some are cut off for it, some are not
DOWN_SECONDS = (0.2, 1.5)
LONG_DOWN_SECONDS = (2.5, 4.0)  # in which a worker that was killed has a successor, which finds the server down
SHARE = 0.3  # of the subscribers that are cut off or stall


class Fault(StrEnum):
    KILL_WORKER = "kill-worker"
    RESTART_WORKERS = "restart-workers"
    RESTART_POSTGRES = "restart-postgres"
    CRASH_POSTGRES = "crash-postgres"
    PAUSE_POSTGRES = "pause-postgres"
    CRASH_WORKER_AND_POSTGRES = "crash-worker-and-postgres"
    RESTART_VALKEY = "restart-valkey"
    CRASH_VALKEY = "crash-valkey"
    PAUSE_VALKEY = "pause-valkey"
    CRASH_WORKER_AND_VALKEY = "crash-worker-and-valkey"
    CUT_SOCKETS = "cut-sockets"
    STALL_READERS = "stall-readers"


EXPLAINED = {
    Fault.KILL_WORKER: "a worker killed with SIGKILL",
    Fault.RESTART_WORKERS: "all workers replaced (SIGHUP)",
    Fault.RESTART_POSTGRES: "PostgreSQL restarted",
    Fault.CRASH_POSTGRES: "PostgreSQL killed with SIGKILL",
    Fault.PAUSE_POSTGRES: "PostgreSQL silent for seconds",
    Fault.CRASH_WORKER_AND_POSTGRES: "a worker starts without PostgreSQL",
    Fault.RESTART_VALKEY: "Valkey restarted",
    Fault.CRASH_VALKEY: "Valkey killed with SIGKILL",
    Fault.PAUSE_VALKEY: "Valkey silent for seconds",
    Fault.CRASH_WORKER_AND_VALKEY: "a worker starts without Valkey",
    Fault.CUT_SOCKETS: "subscribers' sockets cut",
    Fault.STALL_READERS: "subscribers that stop reading",
}


def possible_faults(postgres: PostgresServer | None, valkey: ValkeyServer | None) -> list[Fault]:
    """Those that need no server that is not ours to disturb."""
    missing = [name for name, server in (("postgres", postgres), ("valkey", valkey)) if server is None]
    return [fault for fault in Fault if not any(fault.endswith(name) for name in missing)]


class NoRecovery(Exception):
    """Not everything worked again in time."""


@dataclass
class Stage:
    """What a soak plays on. A server that is `None` is not ours to disturb, or not there."""

    server_pid: int
    workers: int
    watchers: Sequence[Watcher]
    postgres: PostgresServer | None
    valkey: ValkeyServer | None

    def worker_pids(self) -> set[int]:
        """Of the processes that serve."""
        psutil = importlib.import_module("psutil")
        try:
            children = psutil.Process(self.server_pid).children()
        except psutil.NoSuchProcess:
            return set()
        return {child.pid for child in children if _serves(child, psutil.Error)}


def _serves(process: object, gone: type[Exception]) -> bool:
    """Multiprocessing has a helper of its own beside the workers."""
    try:
        return not any("resource_tracker" in part for part in process.cmdline())  # type: ignore[attr-defined]
    except gone:
        return False


@dataclass
class Probe:
    """A change of an order of its own, of which every subscriber to everything must hear.

    `waits_for` is what has not happened yet, while it works.
    """

    load: Load
    order_id: str
    cursor: str
    watchers: Sequence[Watcher]
    waits_for: str = ""

    async def work(self) -> None:
        """Returns once the change was answered and all have seen its event."""
        events = f'events(first: 1, after: "{self.cursor}") {{ nodes {{ cursor }} }}'
        self.waits_for = "a change is not answered"
        sent = await self.load.send(self.load.note(self.order_id), events)
        if not sent.done:
            raise NoRecovery(f"a change was answered with {sent.outcome}: {sent.message}")
        self.cursor = sent.order["events"]["nodes"][0]["cursor"]
        self.waits_for = "a subscriber does not hear of a change"
        await all_reach(self.watchers, self.cursor)
        self.waits_for = "workers are missing"


@dataclass
class Faults:
    """Injects one fault after another. `gaps` are the seconds from a fault's end until everything worked again.

    `say` is told of each.
    """

    stage: Stage
    probe: Probe
    chance: random.Random
    say: Callable[[str], None]
    gaps: dict[Fault, list[float]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)

    async def run(self, faults: Sequence[Fault], until: float) -> None:
        """All of these once, and again until that time, or until something does not recover."""
        while not self.problems and (time.monotonic() < until or not self.gaps):
            for fault in self.chance.sample(faults, len(faults)):
                if self.problems or (time.monotonic() >= until and fault in self.gaps):
                    return
                await self._inject(fault)
                await asyncio.sleep(self.chance.uniform(0.1, 0.8))

    async def _inject(self, fault: Fault) -> None:
        began = over = time.monotonic()
        try:
            self.probe.waits_for = "the workers are not replaced"
            await _ACTIONS[fault](self.stage, self.chance)
            over = time.monotonic()
            async with asyncio.timeout(RECOVERY_SECONDS):
                await self.probe.work()
                await _until(lambda: len(self.stage.worker_pids()) == self.stage.workers)
        except (TimeoutError, NoRecovery) as error:
            reason = str(error) or f"{self.probe.waits_for} in time"
            self.problems.append(f"no recovery after {fault}: {reason}")
            return
        self.gaps[fault].append(time.monotonic() - over)
        self.say(f"{EXPLAINED[fault]}: {over - began:.1f} s, worked again after {self.gaps[fault][-1]:.2f} s")


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - about other processes
        await asyncio.sleep(0.05)


async def _kill_worker(stage: Stage, chance: random.Random) -> None:
    workers = stage.worker_pids()
    if workers:
        _signal(chance.choice(sorted(workers)), signal.SIGKILL)


async def _restart_workers(stage: Stage, chance: random.Random) -> None:
    before = stage.worker_pids()
    _signal(stage.server_pid, signal.SIGHUP)
    async with asyncio.timeout(RECOVERY_SECONDS * stage.workers):
        await _until(lambda: not before & stage.worker_pids())


def _signal(pid: int, number: signal.Signals) -> None:
    psutil = importlib.import_module("psutil")
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).send_signal(number)


Server = PostgresServer | ValkeyServer
Action = Callable[[Stage, random.Random], Awaitable[None]]


def _postgres(stage: Stage) -> Server:
    assert stage.postgres is not None, "the fault is not among the possible ones"
    return stage.postgres


def _valkey(stage: Stage) -> Server:
    assert stage.valkey is not None, "the fault is not among the possible ones"
    return stage.valkey


def _restart(server: Callable[[Stage], Server]) -> Action:
    async def act(stage: Stage, chance: random.Random) -> None:
        await server(stage).stop()
        await asyncio.sleep(chance.uniform(*DOWN_SECONDS))
        await server(stage).start()

    return act


def _crash(server: Callable[[Stage], Server], *, with_a_worker: bool = False) -> Action:
    async def act(stage: Stage, chance: random.Random) -> None:
        await server(stage).kill()
        if with_a_worker:
            await _kill_worker(stage, chance)
        await asyncio.sleep(chance.uniform(*(LONG_DOWN_SECONDS if with_a_worker else DOWN_SECONDS)))
        await server(stage).start()

    return act


def _pause(server: Callable[[Stage], Server]) -> Action:
    async def act(stage: Stage, chance: random.Random) -> None:
        server(stage).pause()
        try:
            await asyncio.sleep(chance.uniform(*PAUSE_SECONDS))
        finally:
            server(stage).resume()

    return act


async def _cut_sockets(stage: Stage, chance: random.Random) -> None:
    for watcher in _some(stage, chance):
        watcher.cut()


async def _stall_readers(stage: Stage, chance: random.Random) -> None:
    await asyncio.gather(*(watcher.stall(chance.uniform(*STALL_SECONDS)) for watcher in _some(stage, chance)))


def _some(stage: Stage, chance: random.Random) -> list[Watcher]:
    return chance.sample(stage.watchers, max(1, round(SHARE * len(stage.watchers))))


_ACTIONS: dict[Fault, Action] = {
    Fault.KILL_WORKER: _kill_worker,
    Fault.RESTART_WORKERS: _restart_workers,
    Fault.RESTART_POSTGRES: _restart(_postgres),
    Fault.CRASH_POSTGRES: _crash(_postgres),
    Fault.PAUSE_POSTGRES: _pause(_postgres),
    Fault.CRASH_WORKER_AND_POSTGRES: _crash(_postgres, with_a_worker=True),
    Fault.RESTART_VALKEY: _restart(_valkey),
    Fault.CRASH_VALKEY: _crash(_valkey),
    Fault.PAUSE_VALKEY: _pause(_valkey),
    Fault.CRASH_WORKER_AND_VALKEY: _crash(_valkey, with_a_worker=True),
    Fault.CUT_SOCKETS: _cut_sockets,
    Fault.STALL_READERS: _stall_readers,
}
