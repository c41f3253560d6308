"""Storage that is full, read-only, damaged or gone: at the start, and while a server runs on it."""

import os
import shutil
import sqlite3
import subprocess
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import httpx
import pytest
from tortoise.connection import get_connection

from api.settings import Settings
from domain.actors import Scope, system
from domain.tokens import create_token
from models.engine.database import connected, migrate, ping
from models.engine.errors import StorageFailure
from tests.api.test_commands import run
from tests.api.test_health import ready, ready_once, serving
from tests.clients import an_order
from tests.database import sqlite_path
from tests.services import UNPRIVILEGED

PLACE = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { number } userErrors { code } } }"
MANY = [{"title": f"Socks {number} {'x' * 200}", "quantity": 1, "unitPrice": "9.90"} for number in range(150)]
MOST = 400  # orders after which a disk should have been full long ago
FULL = {"status": "failing", "problem": "the disk is full"}


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own with this little room."""
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,mode=777"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root alone")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """The file that has taken all of the disk's room."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65536)
    assert shutil.disk_usage(folder).free == 0
    return filler


@asynccontextmanager
async def shop(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server on this database, which may do everything."""
    settings = Settings(database_url=database_url, broadcast_url="memory://")
    async with serving(settings) as (client, _):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


async def place(client: httpx.AsyncClient, **given: Any) -> httpx.Response:
    return await client.post("/graphql", json={"query": PLACE, "variables": {"input": an_order(**given)}})


def refused(response: httpx.Response) -> None:
    """It could not be done now, and may be sent again."""
    assert response.status_code == 503, response.text
    assert response.headers["retry-after"] == "1"
    assert [error["extensions"] for error in response.json()["errors"]] == [{"code": "UNAVAILABLE"}]


async def place_until_full(client: httpx.AsyncClient) -> None:
    for _ in range(MOST):
        response = await place(client, lines=MANY)
        if response.status_code != 200:
            return refused(response)
    pytest.fail("the disk has never been full")


async def works(client: httpx.AsyncClient) -> None:
    await ready_once(client, 200)
    response = await place(client)
    assert response.status_code == 200
    assert response.json()["data"]["placeOrder"]["userErrors"] == []


async def outlives_a_full_disk(database_url: str, disk: Path) -> None:
    async with shop(database_url) as client:
        await works(client)
        filler = fill(disk)
        await place_until_full(client)
        for _ in range(3):  # that nothing was asked of it meanwhile has not mended it
            status, body = await ready(client)
            assert (status, body["database"]) == (503, FULL)
        refused(await place(client, lines=MANY))
        response = await client.post("/graphql", json={"query": "{ orders(first: 1) { nodes { number } } }"})
        assert len(response.json()["data"]["orders"]["nodes"]) == 1, "reading needs no room"
        filler.unlink()
        await works(client)


@pytest.mark.wire
async def test_a_full_disk_is_told_and_outlived(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        url = f"sqlite://{disk}/shop.sqlite3"
        await migrate(url)
        await outlives_a_full_disk(url, disk)


@pytest.mark.slow
async def test_a_full_disk_of_postgresql_is_told_and_outlived(postgres_url: str) -> None:
    with TemporaryDirectory() as folder, small_disk(Path(folder) / "disk", 64) as disk:
        os.chmod(folder, 0o755)
        (disk / "space").mkdir()
        shutil.chown(disk / "space", UNPRIVILEGED)
        connection = await asyncpg.connect(postgres_url.partition("?")[0])
        try:
            await connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}/space'")
            await connection.execute("CREATE DATABASE small TABLESPACE small")
            url = postgres_url.replace(httpx.URL(postgres_url).path, "/small")
            await migrate(url)
            await outlives_a_full_disk(url, disk)
        finally:
            await connection.execute("DROP DATABASE IF EXISTS small WITH (FORCE)")
            await connection.execute("DROP TABLESPACE IF EXISTS small")
            await connection.close()


@pytest.mark.postgres
async def test_a_database_that_is_read_only_is_told(database_url: str) -> None:
    name = httpx.URL(database_url).path.removeprefix("/")
    connection = await asyncpg.connect(database_url.partition("?")[0])

    async def make_read_only(value: str) -> None:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}')
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    async with shop(database_url) as client:
        await works(client)
        await make_read_only("on")
        body = await ready_once(client, 503, database="failing")
        assert body["database"] == {"status": "failing", "problem": "the database is read-only"}
        refused(await place(client))
        await make_read_only("off")
        await works(client)
    await connection.close()


@pytest.mark.sqlite
async def test_a_file_that_is_removed_is_told(database_url: str) -> None:
    path = sqlite_path(database_url)
    gone = {"status": "failing", "problem": "the database file is gone"}
    async with shop(database_url) as client:
        await works(client)
        os.rename(path, f"{path}.away")
        refused(await place(client))
        status, body = await ready(client)
        assert (status, body["database"]) == (503, gone)
        assert not os.path.exists(path), "an empty one was made in its place"  # noqa: ASYNC240
        os.close(os.open(path, os.O_CREAT))
        refused(await place(client))
        assert (await ready(client))[1]["database"] == gone
        os.rename(f"{path}.away", path)
        await works(client)


@pytest.mark.sqlite
async def test_a_damaged_file_is_told(database_url: str) -> None:
    path = sqlite_path(database_url)
    async with connected(database_url):
        _, token = await create_token(actor=system("tests"), name="everything", scopes=list(Scope))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'orders'").fetchall()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    with open(path, "r+b") as file:
        for (page,) in pages:
            file.seek((page - 1) * size)
            file.write(b"\xee" * size)
    async with serving(Settings(database_url=database_url, broadcast_url="memory://")) as (client, _):
        client.headers["Authorization"] = f"Bearer {token}"
        refused(await client.post("/graphql", json={"query": "{ orders(first: 1) { nodes { number } } }"}))
        for _ in range(2):
            status, body = await ready(client)
            assert status == 503
            assert body["database"] == {"status": "failing", "problem": "the database file is damaged"}


@pytest.mark.sqlite
async def test_a_damage_that_is_told_again_and_again_takes_no_more_memory(database_url: str) -> None:
    async with connected(database_url):
        connection: Any = get_connection("default")
        connection.storage.failure = StorageFailure("the database file is damaged", "Restore it.", is_lasting=True)
        lengths = []
        for _ in range(3):
            with pytest.raises(StorageFailure) as failed:
                await ping()
            lengths.append(len(list(traceback.walk_tb(failed.value.__traceback__))))
    assert len(set(lengths)) == 1


def a_text(folder: Path) -> Path:
    (folder / "letter").write_text("Dear Sir or Madam, " * 100)
    return folder / "letter"


def a_folder(folder: Path) -> Path:
    return folder


def below_a_file(folder: Path) -> Path:
    return a_text(folder) / "shop.sqlite3"


def nowhere(_folder: Path) -> Path:
    return Path("/proc/nowhere/shop.sqlite3")


@pytest.mark.slow
@pytest.mark.wire
@pytest.mark.parametrize("make", [a_text, a_folder, below_a_file, nowhere])
async def test_a_start_ends_with_a_sentence(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path)
    for command in (["serve", "--port", "0"], ["migrate"]):
        code, out, err = await run(f"sqlite://{path}", *(f"api.commands.{command[0]}", *command[1:]))
        assert (code, out) == (1, "")
        assert err.startswith(f"{path}: "), err
        assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.wire
async def test_a_start_on_a_read_only_disk_ends_with_a_sentence(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        url = f"sqlite://{disk}/shop.sqlite3"
        await migrate(url)
        for path in (f"{disk}/shop.sqlite3", f"{disk}/new/shop.sqlite3"):
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            code, out, err = await run(f"sqlite://{path}", "api.commands.serve", "--port", "0")
            assert (code, out, err.count("\n")) == (1, "", 1)
            assert err.startswith(f"{path}: Read-only file system. ")
