"""What tests start for themselves: a migrated database, and a server on it.

Each test that opens a database runs on SQLite and on PostgreSQL, with two kinds of exceptions, said by a mark:
`sqlite` and `postgres` are for tests of one engine's own ways; `wire` is for tests of what lies above the database
(how requests are read and answers are written, and the commands), which run on SQLite only unless
`--databases both` or `--databases postgres` asks for more. Without `--slow`, the tests of `api` and `effects` run on
SQLite only, unless they are about PostgreSQL's own ways.
"""

import asyncio
import contextlib
import ctypes
import gc
import itertools
import os
import shutil
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from api.app import create_app
from api.commands import temporary_server
from api.commands.serve import server_options
from api.execution.operations import DocumentCache
from api.settings import Settings
from domain.actors import Scope, system
from domain.tokens import create_token
from models.engine.database import connected, migrate
from models.engine.file_urls import file_url
from tests.clients import Server, new_client, until
from tests.complaints import Complaints, complaints_in
from tests.database import sqlite_path
from tests.local_issuer import LocalIssuer, local_issuer
from tests.local_stripe import Account, StripeProxy, account_at, proxy_to
from tests.missing import PANGO, VARIABLE
from tests.servers import Databases, SharedServers, url_of

ENGINES = ("sqlite", "postgres")
_ABOVE = (Path(__file__).parent / "api", Path(__file__).parent / "effects")  # what runs on PostgreSQL with --slow
Fill = Callable[[], Awaitable[None]]  # writes rows into the open database
_shared = pytest.StashKey[SharedServers]()


async def nothing() -> None:
    """Leaves the database empty."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--databases",
        choices=("needed", "both", *ENGINES),
        default="needed",
        help="which databases the tests run on: sqlite or postgres alone, both, or (the default) both where the"
        " outcome can depend on it and SQLite for the rest",
    )
    parser.addoption(
        "--slow",
        action="store_true",
        help="run the tests that take long, too. They also run where one is named (FILE::TEST).",
    )


def pytest_configure(config: pytest.Config) -> None:
    os.environ["EFFECTS"] = "false"  # whose test is not about them has no e-mail sent
    # Tests start many processes, each of which would compile the whole project anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if not hasattr(config, "workerinput"):
        config.stash[_shared] = SharedServers()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the run in order, and the servers with it


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: some tests wait for most of their time."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["servers"] = node.config.stash[_shared].port


def pytest_unconfigure(config: pytest.Config) -> None:
    if _shared in config.stash:
        config.stash[_shared].close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        metafunc.parametrize("engine", [name for name in ENGINES if name in marks] or ENGINES, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("databases")
    slow = config.getoption("slow") or _names_tests(config)
    if not can_render():
        reason = pytest.mark.skip(reason=PANGO)
        for item in items:
            if _renders(item):
                item.add_marker(reason)
    left_out = [item for item in items if not _runs(item, wanted, slow=slow)]
    items[:] = [item for item in items if _runs(item, wanted, slow=slow)]
    config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish() -> None:
    """What has been imported by now stays: looking through it for garbage again and again is a seventh of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _skipped(config: pytest.Config) -> Counter[str]:
    """How many tests this run has skipped for each reason."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", ()) if reporter else ()
    return Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")
    if os.environ.get(VARIABLE) and not is_worker and _skipped(session.config) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not (config.getoption("slow") or _names_tests(config)):
        terminalreporter.write_line("The tests that take long were left out: --slow runs them, too.")
    skipped = _skipped(config)
    for reason, count in skipped.items():
        terminalreporter.write_line(f"Skipped {count} {'test' if count == 1 else 'tests'}: {reason}", yellow=True)
    if skipped and os.environ.get(VARIABLE):
        terminalreporter.write_line(f"FAILED: with {VARIABLE} set, nothing may be skipped.", red=True)


def can_render() -> bool:
    """Whether delivery notes can be rendered on this machine: whether it has Pango."""
    for name in ("libpangoft2-1.0.so.0", "libpangoft2-1.0.dylib", "/opt/homebrew/lib/libpangoft2-1.0.dylib"):
        with contextlib.suppress(OSError):
            ctypes.CDLL(name)
            return True
    return False


def _renders(item: pytest.Item) -> bool:
    """Marked so, or one of a table of all mutations that is about the one which renders."""
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return item.get_closest_marker("rendering") is not None or "createDeliveryNote" in parameters


def _names_tests(config: pytest.Config) -> bool:
    return any("::" in argument for argument in config.args)


def _runs(item: pytest.Item, wanted: str, *, slow: bool) -> bool:
    assert isinstance(item, pytest.Function)
    if item.get_closest_marker("slow") and not slow:
        return False
    engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
    if engine is None:
        return wanted != "sqlite" or "postgres_url" not in item.fixturenames
    if wanted in ENGINES:
        return bool(engine == wanted)
    if wanted == "both" or engine == "sqlite" or item.get_closest_marker("postgres"):
        return True
    is_above = any(item.path.is_relative_to(folder) for folder in _ABOVE)
    return item.get_closest_marker("wire") is None and (slow or not is_above)


@pytest.fixture(scope="session")
def servers_port(pytestconfig: pytest.Config) -> int:
    """Where `url_of` asks for the servers that all tests of this run share."""
    given: dict[str, Any] = getattr(pytestconfig, "workerinput", {})
    return given["servers"] if given else pytestconfig.stash[_shared].port


@pytest.fixture(scope="session")
def databases(servers_port: int) -> Iterator[Databases]:
    databases = Databases(url_of("postgres", servers_port))
    yield databases
    databases.close()


@pytest.fixture
def postgres_url(databases: Databases) -> Iterator[str]:
    """A PostgreSQL database of the test's own without a table."""
    url = databases.create_bare()
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def redis_url(servers_port: int) -> str:
    """A Valkey that other tests use at the same time: what one publishes, all hear."""
    return url_of("redis", servers_port)


@pytest.fixture(scope="session")
def stripe_url(servers_port: int) -> str:
    """A Stripe that other tests use at the same time, and that forgets nothing."""
    return url_of("stripe", servers_port)


@pytest.fixture
async def account(stripe_url: str) -> AsyncIterator[Account]:
    async with account_at(stripe_url) as account:
        yield account


@pytest.fixture
async def proxy(stripe_url: str) -> AsyncIterator[StripeProxy]:
    async with proxy_to(stripe_url) as proxy:
        yield proxy


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    async with local_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, Fill], str]:
    """The databases that tests get copies of, by engine and by what has filled them."""
    empty = file_url("sqlite", tmp_path_factory.mktemp("templates") / "empty.sqlite3")
    asyncio.run(migrate(empty))
    return {("sqlite", nothing): empty}


@pytest.fixture(scope="session")
def document_cache() -> DocumentCache:
    """What every test's server would parse and validate anew: a tenth of the time of a short test."""
    return DocumentCache()


@pytest.fixture(scope="session")
def complaints() -> Iterator[Complaints]:
    """What asyncio has to say of this process."""
    complaints = Complaints()
    with complaints.collecting():
        yield complaints
    assert complaints.take() == []


@pytest.fixture(autouse=True)
def _nothing_fails_unseen(complaints: Complaints) -> Iterator[None]:
    """A test fails if something has failed of which only the log tells, here or in a server that it has started.

    A task that failed is told of when it is thrown away, which may be in a later test.
    """
    elsewhere: list[str] = []

    def look(log: bytes) -> None:
        elsewhere.extend(complaints_in(log))

    temporary_server.look_at_log.append(look)
    yield
    temporary_server.look_at_log.remove(look)
    assert complaints.take() + elsewhere == []


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The kind of database that the test runs on: `sqlite` or `postgres`."""
    name: str = request.param
    return name


@pytest.fixture
def new_database(
    engine: str, templates: dict[tuple[str, Fill], str], request: pytest.FixtureRequest
) -> Iterator[Callable[[Fill], str]]:
    """Makes migrated databases of the test's own; each call returns another one's URL.

    What it is given fills the database, which is done once in each process of the run: tests get copies. By default
    the database is empty; on PostgreSQL it is one that other tests have had then, and looks like new.
    """
    postgres: Databases | None = request.getfixturevalue("databases") if engine == "postgres" else None
    made: list[str] = []
    taken: list[str] = []

    def copy_of(url: str) -> str:
        if postgres:
            return postgres.create_copy(url)
        path = Path(sqlite_path(url)).with_name(f"{uuid.uuid4().hex}.sqlite3")
        shutil.copyfile(sqlite_path(url), path)
        return f"{file_url('sqlite', path)}?synchronous=OFF"

    def template(fill: Fill) -> str:
        if (engine, fill) in templates:
            return templates[engine, fill]
        if postgres and fill is nothing:
            url = postgres.create()
        else:
            url = copy_of(template(nothing))
            asyncio.run(_filled(url, fill))
        templates[engine, fill] = url
        return url

    def new(fill: Fill = nothing) -> str:
        if postgres and fill is nothing:
            taken.append(postgres.take_empty(template(nothing)))
            return taken[-1]
        made.append(copy_of(template(fill)))
        return made[-1]

    yield new
    if postgres:
        for url in made:
            postgres.drop(url)
        for url in taken:
            postgres.give_back(url)
    else:
        for url, suffix in itertools.product(made, ("", "-wal", "-shm")):
            Path(sqlite_path(url) + suffix).unlink(missing_ok=True)


async def _filled(url: str, fill: Fill) -> None:
    async with connected(url):
        await fill()


@pytest.fixture
def empty_url(engine: str, request: pytest.FixtureRequest) -> str:
    """A database of the test's own without a table, on the engine that the test runs on: on SQLite, no file yet."""
    if engine == "sqlite":
        return file_url("sqlite", request.getfixturevalue("tmp_path") / "new" / "empty.sqlite3")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def fill() -> Fill:
    """What the test's database has in it from the start: nothing, where a test module has no fixture of this name."""
    return nothing


@pytest.fixture
def database_url(new_database: Callable[[Fill], str], fill: Fill) -> str:
    """A migrated database of the test's own, not opened yet, on the engine that the test runs on."""
    return new_database(fill)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[str]:
    """The same, open for as long as the test runs."""
    async with connected(database_url):
        yield database_url


@pytest.fixture
def settings(database_url: str) -> Settings:
    """The server's settings. A test module may have a fixture of this name with others."""
    return Settings(database_url=database_url, poll_seconds=1.0)


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of this process, if it is started later, looks all the time whether tokens have ended."""
    monkeypatch.setattr("api.callers.token_watch.WATCH_SECONDS", 0.02)


@pytest.fixture
def connections_of() -> dict[str, Any]:
    """How uvicorn is run. A test module may have a fixture of this name with other connections than ours."""
    return {}


@pytest.fixture
async def server(
    settings: Settings, document_cache: DocumentCache, connections_of: dict[str, Any]
) -> AsyncIterator[Server]:
    """A server of the test's own in this process, on a port of its own, with its database open."""
    app = create_app(settings, documents=document_cache)
    config = uvicorn.Config(app, port=0, log_level="warning", **{**server_options(settings), **connections_of})
    config.load()
    running = uvicorn.Server(config)
    running.lifespan = config.lifespan_class(config)
    await running.startup()
    port = running.servers[0].sockets[0].getsockname()[1]
    _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
    async with new_client() as client:
        yield Server(port, client, token, app.state.service, running)
    await _stop(running)


async def _stop(running: uvicorn.Server) -> None:
    """As uvicorn does it, but for the tenths of a second that it sleeps between looks at what is still open."""
    for listening in running.servers:
        listening.close()
    for connection in list(running.server_state.connections):
        connection.shutdown()
    try:
        await until(lambda: not (running.server_state.connections or running.server_state.tasks))
    finally:  # otherwise its processes and connections would be found open by a later test
        await running.lifespan.shutdown()
