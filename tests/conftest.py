"""What tests start for themselves: a migrated database, and a server on it.

Each test that opens a database runs on SQLite and on PostgreSQL, with two kinds of exceptions, said by a mark:
`sqlite` and `postgres` are for tests of one engine's own ways; `wire` is for tests of what lies above the database
(how requests are read and answers are written, and the commands), which run on SQLite only unless
`--databases both` or `--databases postgres` asks for more.
"""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tortoise.backends.base.executor import EXECUTOR_CACHE

from api.app import create_app
from api.commands.serve import server_options
from api.settings import Settings
from domain.actors import Scope, system
from domain.tokens import create_token
from models.database import connected, migrate
from tests.clients import Server, new_client, until
from tests.servers import Databases, SharedServers, url_of

ENGINES = ("sqlite", "postgres")
_shared = pytest.StashKey[SharedServers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--databases",
        choices=("needed", "both", *ENGINES),
        default="needed",
        help="which databases the tests run on: sqlite or postgres alone, both, or (the default) both where the"
        " outcome can depend on it and SQLite for the rest",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[_shared] = SharedServers()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the run in order, and the servers with it


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
    left_out = [item for item in items if not _runs(item, wanted)]
    items[:] = [item for item in items if _runs(item, wanted)]
    config.hook.pytest_deselected(items=left_out)


def _runs(item: pytest.Item, wanted: str) -> bool:
    assert isinstance(item, pytest.Function)
    engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
    if engine is None:
        return wanted != "sqlite" or "postgres_url" not in item.fixturenames
    if wanted in ENGINES:
        return bool(engine == wanted)
    return wanted == "both" or engine == "sqlite" or item.get_closest_marker("wire") is None


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
    url = databases.create(migrated=False)
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def redis_url(servers_port: int) -> str:
    """A Valkey that other tests use at the same time: what one publishes, all hear."""
    return url_of("redis", servers_port)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database without a row, made once and copied for each test."""
    path = tmp_path_factory.mktemp("template") / "empty.sqlite3"
    asyncio.run(migrate(f"sqlite://{path}"))
    return path


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The kind of database that the test runs on: `sqlite` or `postgres`."""
    EXECUTOR_CACHE.clear()  # where Tortoise keeps statements, written for one engine, for the rest of the process
    name: str = request.param
    return name


@pytest.fixture
def new_database(engine: str, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Makes migrated, empty databases of the test's own; each call returns another one's URL."""
    made: list[str] = []

    def on_sqlite() -> str:
        path = request.getfixturevalue("tmp_path") / f"test{len(made)}.sqlite3"
        shutil.copyfile(request.getfixturevalue("template"), path)
        made.append(f"sqlite://{path}?synchronous=OFF")
        return made[-1]

    def on_postgres() -> str:
        made.append(request.getfixturevalue("databases").create())
        return made[-1]

    yield on_sqlite if engine == "sqlite" else on_postgres
    if engine == "postgres":
        for url in made:
            request.getfixturevalue("databases").drop(url)


@pytest.fixture
def empty_url(engine: str, request: pytest.FixtureRequest) -> str:
    """A database of the test's own without a table, on the engine that the test runs on: on SQLite, no file yet."""
    if engine == "sqlite":
        return f"sqlite://{request.getfixturevalue('tmp_path')}/new/empty.sqlite3"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A migrated, empty database of the test's own, not opened yet, on the engine that the test runs on."""
    return new_database()


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
async def server(settings: Settings) -> AsyncIterator[Server]:
    """A server of the test's own in this process, on a port of its own, with its database open."""
    app = create_app(settings)
    config = uvicorn.Config(app, port=0, log_level="warning", **server_options(settings))
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
    await until(lambda: not (running.server_state.connections or running.server_state.tasks))
    await running.lifespan.shutdown()
