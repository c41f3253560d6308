"""What tests start for themselves: a migrated database, and a server on it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.commands.serve import server_options
from api.settings import Settings
from domain.actors import Scope, system
from domain.tokens import create_token
from models.database import connected, migrate
from tests.clients import Server, until


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without a row, made once and copied for each test."""
    path = tmp_path_factory.mktemp("template") / "empty.sqlite3"
    asyncio.run(migrate(f"sqlite://{path}"))
    return path


@pytest.fixture
def database_url(template: Path, tmp_path: Path) -> str:
    """A migrated, empty database of the test's own, not opened yet."""
    path = tmp_path / "test.sqlite3"
    shutil.copyfile(template, path)
    return f"sqlite://{path}"


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
    async with httpx.AsyncClient(timeout=30) as client:
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
