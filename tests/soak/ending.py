"""How a server ends after a soak, and what it leaves behind."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import IO
from urllib.parse import parse_qs, urlsplit

import orjson

from api.commands.watching import Watcher
from tests.soak import ledger
from tests.soak.checks import summed_up
from tests.soak.report import Report

STOP_SECONDS = 10.0  # for the server to end
SETTLE_SECONDS = 10.0  # for connections to be given back
DEFAULT_POOL_SIZE = 10  # of a worker whose database URL does not say
BELL_CONNECTIONS = 1  # of each worker's bell, where it hangs in PostgreSQL
_FAULT = re.compile(r"fault [0-9a-f]{8}-|critical|Exception in ASGI application|never (?:awaited|retrieved)", re.I)


async def check_connections(database_url: str, broadcast_url: str, workers: int, report: Report) -> None:
    """What the server holds open to the database while nobody asks for anything."""
    given = parse_qs(urlsplit(database_url).query).get("maxsize")
    own = int(given[0]) if given else DEFAULT_POOL_SIZE
    if urlsplit(broadcast_url).scheme.startswith("postgres"):
        own += BELL_CONNECTIONS
    report.most_connections = own * workers
    states = await _settled(database_url, lambda states: not _in_transaction(states))
    report.connections = states.total()
    if count := _in_transaction(states):
        report.problems.append(f"{count} connections are in a transaction though nothing is under way")
    if report.connections > report.most_connections:
        report.problems.append(f"{report.connections} connections are open, {report.most_connections} are allowed")


async def end(process: asyncio.subprocess.Process, stalling: Sequence[Watcher], report: Report) -> None:
    """Ends the server while subscribers follow, of whom these do not read."""
    stalled = [asyncio.create_task(watcher.stall(2 * STOP_SECONDS)) for watcher in stalling]
    await asyncio.sleep(0)  # so that they have begun
    began = time.monotonic()
    if process.returncode is None:
        process.terminate()
    else:
        report.problems.append(f"the server has ended by itself with exit code {process.returncode}")
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        report.problems.append(f"the server had not ended {STOP_SECONDS:.0f} s after SIGTERM")
    report.stop_seconds = time.monotonic() - began
    for task in stalled:
        task.cancel()
    await asyncio.gather(*stalled, return_exceptions=True)


async def check_rest(database_url: str, report: Report) -> None:
    """What is left of the server in the database once it has ended."""
    report.left_open = (await _settled(database_url, lambda states: not states)).total()
    if report.left_open:
        report.problems.append(f"{report.left_open} connections are left after the server has ended")


async def _settled(database_url: str, condition: Callable[[Counter[str]], bool]) -> Counter[str]:
    """The connections once the condition holds, or as they are when it has not held for long."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        states = await ledger.connections(database_url)
        if condition(states) or time.monotonic() > deadline:
            return states
        await asyncio.sleep(0.1)


def _in_transaction(states: Counter[str]) -> int:
    return sum(count for state, count in states.items() if "in transaction" in state)


def faults_in(log: IO[bytes]) -> list[str]:
    """The lines of the server's log that tell of a bug."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    return summed_up((f"server log: {_short(line)}" for line in lines if _FAULT.search(line)), "faults in the log")


def _short(line: str) -> str:
    """What a structured line says, and the last line of its traceback."""
    try:
        entry = orjson.loads(line)
        return f"{entry['event']} {entry.get('exception', '').strip().rpartition(chr(10))[2]}".strip()
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return line.strip()
