"""A database that was migrated by another version: nothing serves it, and what serves already goes on."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import urlsplit

import asyncpg
import pytest

from api.app import create_app
from api.commands.temporary_server import server_process
from api.settings import Settings
from models.engine.database import connected, migrate
from tests.api.test_commands import run
from tests.api.test_health import ready, ready_once, serving
from tests.api.test_workers import PATIENCE
from tests.clients import new_client
from tests.database import run_sql, sqlite_path

pytestmark = pytest.mark.wire

NEWER = "0999_future"


def migrations() -> list[str]:
    """The names of those that this version has."""
    return sorted(path.stem for path in Path("models/migrations").glob("0*.py"))


async def add_newer() -> None:
    await run_sql(f"INSERT INTO tortoise_migrations (app, name, applied_at) VALUES ('models', '{NEWER}', '2030-01-01')")


async def remove_last() -> None:
    await run_sql(f"DELETE FROM tortoise_migrations WHERE name = '{migrations()[-1]}'")


@pytest.fixture
def new_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/shop.sqlite3"


@pytest.mark.slow
async def test_migrate_says_what_it_has_done(new_url: str) -> None:
    code, out, err = await run(new_url, "api.commands.migrate", "--check")
    assert (code, out, err) == (0, "There is no database yet: only the models were checked.\n", "")
    assert not os.path.exists(sqlite_path(new_url)), "a check has made a database"  # noqa: ASYNC240
    code, out, err = await run(new_url, "api.commands.migrate")
    assert (code, out, err) == (0, f"Applied {', '.join(migrations())}.\n", "")
    assert await run(new_url, "api.commands.migrate") == (0, "Nothing to do: the database is up to date.\n", "")
    assert await run(new_url, "api.commands.migrate", "--check") == (0, "", "")
    with closing(sqlite3.connect(sqlite_path(new_url))) as connection, connection:
        connection.execute("DELETE FROM tortoise_migrations WHERE name = ?", [migrations()[-1]])
    code, out, err = await run(new_url, "api.commands.migrate", "--check")
    assert (code, out) == (1, "")
    assert err == f"The database lacks the migration {migrations()[-1]}: run scripts/migrate first.\n"


@pytest.mark.slow
async def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    async with connected(database_url):
        await add_newer()
    for command in (["serve", "--port", "0"], ["migrate"], ["migrate", "--check"], ["token", "list"]):
        code, out, err = await run(database_url, f"api.commands.{command[0]}", *command[1:])
        assert (code, out) == (1, "")
        assert NEWER in err
        assert err.count("\n") == 1
    with pytest.raises(Exception, match=NEWER):
        async with started(database_url):
            pass


@asynccontextmanager
async def started(database_url: str) -> AsyncIterator[None]:
    """The application, as any ASGI server starts it."""
    app = create_app(Settings(database_url=database_url, broadcast_url="memory://"))
    async with app.router.lifespan_context(app):
        yield


async def test_an_application_does_not_start_before_its_migrations(database_url: str) -> None:
    async with connected(database_url):
        await remove_last()
    with pytest.raises(Exception, match=migrations()[-1]):
        async with started(database_url):
            pass


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "change", "name"), [("1", remove_last, migrations()[-1]), ("2", add_newer, NEWER)])
async def test_what_serves_goes_on_if_its_successor_must_not(
    database_url: str, workers: str, change: object, name: str
) -> None:
    with TemporaryFile() as log:
        async with server_process(database_url, "--workers", workers, log=log) as (url, process), new_client() as http:
            await said(log, "Application startup complete", int(workers))
            async with connected(database_url):
                await change()  # type: ignore[operator]
            process.send_signal(signal.SIGHUP)
            text = await said(log, "what served before goes on")
            assert name in text
            assert text.count("Application startup complete") == int(workers)
            answer = await http.post(url, json={"query": "{ __typename }"})
            assert answer.json() == {"data": {"__typename": "Query"}}
            answer = await http.get(url.replace("graphql", "readyz"))
            assert answer.status_code == 200


async def said(log: IO[bytes], words: str, times: int = 1) -> str:
    """Waits until the log has these words so often; all of it by then."""
    async with asyncio.timeout(PATIENCE):
        while (text := os.pread(log.fileno(), 1_000_000, 0).decode()).count(words) < times:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)
    return text


@pytest.mark.slow
async def test_a_database_that_came_late_is_looked_at(postgres_url: str) -> None:
    """One that is not there at the start may turn out to be of another version."""
    await migrate(postgres_url)
    async with connected(postgres_url):
        await remove_last()
    name = urlsplit(postgres_url).path.removeprefix("/")
    other = await asyncpg.connect(urlsplit(postgres_url)._replace(path="/postgres", query="").geturl())
    await other.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_away"')
    async with serving(Settings(database_url=postgres_url, broadcast_url="memory://")) as (http, _):
        status, body = await ready(http)
        assert (status, body["database"]) == (503, {"status": "unreachable", "problem": "DBConnectionError"})
        await other.execute(f'ALTER DATABASE "{name}_away" RENAME TO "{name}"')
        body = await ready_once(http, 503, database="of another version")
        assert migrations()[-1] in body["database"]["problem"]
    await other.close()
