"""A server for the time of one command."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

import httpx

from api.settings import ROOT
from domain.actors import Scope, system
from domain.tokens import create_token
from models.engine.database import connected, migrate
from models.engine.file_urls import file_url

_QUIET = {"BROADCAST_URL": "memory://", "EFFECTS": "false"}  # unless the command asks for more
look_at_log: list[Callable[[bytes], None]] = []  # called with all that a process has said, once it has ended
START_SECONDS = 120  # for the server to answer, also on a machine that has much else to do


@asynccontextmanager
async def temporary_server(name: str, scopes: Sequence[Scope]) -> AsyncIterator[tuple[str, str]]:
    """Run a server in a process of its own, on a database that is deleted afterwards. Yield its URL and a token.

    Raise `RuntimeError` as `server_process` does.
    """
    with TemporaryDirectory(prefix=f"orderstream-{name}-") as folder:
        database_url = file_url("sqlite", f"{folder}/{name}.sqlite3")
        await migrate(database_url)
        async with connected(database_url):
            _, token = await create_token(actor=system(f"scripts/{name}"), name=name, scopes=scopes)
        async with server_process(database_url) as (url, _):
            yield url, token


@asynccontextmanager
async def server_process(
    database_url: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    log: IO[bytes] | None = None,
    cores: Collection[int] | None = None,
    port: int | None = None,
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Run `scripts/serve` with these arguments. Once it answers, yield its URL and its process.

    `environment` has more settings. Without `port`, a free one is taken. The other arguments are those of `answering`.
    """
    port = port or free_port()
    command = (sys.executable, "-m", "api.commands.serve", "--port", str(port), *arguments)
    settings = {**_QUIET, **(environment or {}), "DATABASE_URL": database_url}
    url = f"http://127.0.0.1:{port}/graphql"
    async with answering(url, command, environment=settings, log=log, cores=cores) as process:
        yield url, process


@asynccontextmanager
async def answering(
    url: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: IO[bytes] | None = None,
    cores: Collection[int] | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a process once it answers at this URL. It is stopped with the block.

    `environment` is added to this process's own, `log` gets what it says, and it runs on these cores alone. Raise
    `RuntimeError` with what it said if it does not start.
    """
    with TemporaryFile() if log is None else nullcontext(log) as log:
        with on_cores(cores):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log
            )
        try:
            if not await _answers(url, process):
                log.seek(0)
                raise RuntimeError(f"the server did not start:\n{log.read().decode(errors='replace')}")
            yield process
        finally:
            await _stop(process)
            for look in look_at_log:
                look(os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0))


@contextmanager
def on_cores(cores: Collection[int] | None) -> Iterator[None]:
    """Run what is started in the block on these cores alone, or anywhere if `cores` is None."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _answers(url: str, process: asyncio.subprocess.Process) -> bool:
    """Wait until the server answers. Return False if it does not, or has ended."""
    deadline = time.monotonic() + START_SECONDS
    async with httpx.AsyncClient(trust_env=False) as client:
        while time.monotonic() < deadline and process.returncode is None:
            try:
                await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return True
    return False


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 15)
    except TimeoutError:
        process.kill()
        await process.wait()
