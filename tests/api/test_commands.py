"""The commands as people run them: processes of their own, with the environment as their only settings."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import typer

from api.commands.client import client_of
from api.commands.temporary_server import free_port, server_process
from api.commands.token import duration_of, moment_of, spread
from api.settings import ROOT
from domain import tokens
from domain.actors import Scope
from domain.tokens import authenticate
from models.engine.database import connected
from models.engine.file_urls import file_url
from tests.clients import WAIT, new_client

pytestmark = pytest.mark.wire

VIEWER = {"query": "{ viewer { name scopes channels { code } allChannels } }"}


async def run(url: str, *arguments: str) -> tuple[int | None, str, str]:
    """A command's exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def serving(url: str, *arguments: str) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """A client of `scripts/serve`, which answers already."""
    async with (
        server_process(url, *arguments) as (address, process),
        new_client(base_url=address.removesuffix("/graphql")) as client,
    ):
        yield client, process


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database that does not exist yet, in a folder that does not either."""
    return file_url("sqlite", tmp_path / "new" / "shop.sqlite3")


async def create_token(url: str, *arguments: str) -> str:
    code, out, err = await run(url, "api.commands.token", "create", *arguments)
    assert (code, err, out.count("\n")) == (0, "", 1)
    return out.strip()


async def refused_soon(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """A server may not know for a second that another process has ended a token."""
    async with asyncio.timeout(WAIT):
        while (await client.post("/graphql", json=VIEWER, headers=headers)).status_code != 401:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_a_token_is_created_used_listed_rotated_and_revoked(url: str) -> None:
    shop = await create_token(
        url, "--name", "Shop", "--scope", "orders:read", "orders:place", "--channel", "web", "--expires", "90d"
    )
    async with serving(url, "--forwarded-allow-ips", "192.0.2.1,198.51.100.0/24") as (client, _):
        redirect = await client.get("/graphiql", headers={"X-Forwarded-Proto": "https"})
        assert redirect.headers["location"].startswith("http://"), "a proxy was believed that is none"
        headers = {"Authorization": f"Bearer {shop}"}
        answer = (await client.post("/graphql", json=VIEWER, headers=headers)).json()
        assert answer["data"]["viewer"] == {
            "name": "Shop",
            "scopes": ["ORDERS_PLACE", "ORDERS_READ"],
            "channels": [{"code": "web"}],
            "allChannels": False,
        }
        code, listed, _ = await run(url, "api.commands.token", "list")
        assert code == 0
        token_id, prefix, name, *_, used, state = listed.strip().split("  ")
        assert (name, shop.startswith(prefix.rstrip("…")), shop in listed) == ("Shop", True, False)
        assert (used, state[:10]) == ("never used", "expires 20")
        code, rotated, err = await run(
            url, "api.commands.token", "rotate", os.fsdecode(prefix.encode()), "--grace", "0"
        )
        assert (code, err, rotated.count("\n")) == (0, "", 1)
        await refused_soon(client, headers)
        headers = {"Authorization": f"Bearer {rotated.strip()}"}
        assert (await client.post("/graphql", json=VIEWER, headers=headers)).status_code == 200
        assert (await run(url, "api.commands.token", "revoke", token_id))[0] == 0
        await refused_soon(client, headers)
    listed = (await run(url, "api.commands.token", "list"))[1]  # the server has written the last use down as it ended
    assert re.search(r"  last used 20[-: \d]+  revoked 20[-: \d]+ by scripts/token\n$", listed), listed


@pytest.mark.slow
async def test_a_token_is_revoked_with_those_that_it_has_created(url: str) -> None:
    partner = await create_token(url, "--name", "Partner", "--scope", "tokens:write", "orders:read")
    async with connected(url):
        actor = await authenticate(partner)
        assert actor is not None
        child, _ = await tokens.create_token(actor=actor, name="Child", scopes=[Scope.ORDERS_READ])
    code, out, _ = await run(url, "api.commands.token", "revoke", partner[:10])
    assert (code, out.splitlines()) == (
        0,
        [
            "revoked Partner",
            f"  which has created Child ({child.prefix}…, good)",
            "revoke it with --with-created to end these, too",
        ],
    )
    code, out, _ = await run(url, "api.commands.token", "revoke", partner[:10], "--with-created")
    assert (code, len(out.splitlines())) == (0, 2)
    assert re.search(r"Child \(.*, revoked 20.* by scripts/token\)$", out)


@pytest.mark.parametrize(
    ("given", "seconds"), [("90d", 7_776_000), ("12h", 43_200), ("30m", 1800), ("45s", 45), ("0", 0)]
)
def test_durations(given: str, seconds: int) -> None:
    assert duration_of(given).total_seconds() == seconds


@pytest.mark.parametrize("given", ["", "d", "1", "-1d", "1w", "1.5h", "1d2h", "9999999d", "\u0663d"])
def test_what_is_no_duration(given: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration_of(given)


def test_an_end_is_a_time_or_a_duration_from_now() -> None:
    assert moment_of("2099-01-31") == datetime(2099, 1, 31, tzinfo=UTC)
    assert moment_of("2099-01-31T12:00:00+02:00") == datetime(2099, 1, 31, 10, tzinfo=UTC)
    assert timedelta(days=89) < moment_of("90d") - datetime.now(UTC) <= timedelta(days=90)


@pytest.mark.slow
async def test_an_unknown_token_cannot_be_revoked(url: str) -> None:
    code, out, err = await run(url, "api.commands.token", "revoke", "ost_nobody")
    assert (code, out, err) == (1, "", "There is no such token.\n")


async def test_a_scope_that_is_none_is_refused(url: str) -> None:
    code, out, err = await run(url, "api.commands.token", "create", "--name", "x", "--scope", "orders:eat")
    assert (code, out) == (2, "")
    assert "orders:eat" in err


def test_one_option_may_be_followed_by_several_values() -> None:
    given = ["create", "--scope", "a", "b", "--name", "n", "--channel", "c", "d", "--scope", "e"]
    assert spread(given) == [
        *("create", "--scope", "a", "--scope", "b", "--name", "n"),
        *("--channel", "c", "--channel", "d", "--scope", "e"),
    ]


@pytest.mark.slow
async def test_the_demo_has_orders_and_goes_on_where_it_was(tmp_path: Path) -> None:
    tokens = []
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C, and a terminal that is closed
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "api.commands.demo", "--port", str(port)),
            *("--pause", "0.01", "--folder", str(tmp_path / "data")),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        link = (await process.stdout.readline()).decode().split()[1]
        url, _, token = link.partition("#token=")
        tokens.append(token)
        async with client_of(url, token) as client:
            seen = 0
            async with aclosing(client.follow("subscription { orderEvents { message } }")) as events:
                async for _ in events:
                    seen += 1
                    if seen == 5:
                        break
        process.send_signal(number)
        _, said = await asyncio.wait_for(process.communicate(), WAIT)
        assert (process.returncode, said.decode()) == (0, "")
    assert tokens[0] == tokens[1]
    assert (tmp_path / "data" / "demo-token").stat().st_mode & 0o077 == 0


@pytest.mark.slow
async def test_the_demo_says_when_its_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        arguments = ("api.commands.demo", "--port", str(port), "--folder", str(tmp_path / "data"))
        code, out, err = await run("sqlite://unused", *arguments)
    assert (code, out) == (1, "")
    assert err == f"Port {port} cannot be had (Address already in use): try scripts/demo --port {port + 1}.\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["demo", "serve"])
@pytest.mark.parametrize("port", ["70000", "-1", "http"])
async def test_a_port_that_is_none(command: str, port: str) -> None:
    code, out, err = await run("sqlite://unused", f"api.commands.{command}", f"--port={port}")
    assert (code, out) == (2, "")
    assert "Invalid value for '--port'" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("nobody.invalid", "There is no host nobody.invalid: --host is an address of this machine."),
        ("a..b", "There is no host a..b: --host is an address of this machine."),
        ("192.0.2.1", "192.0.2.1 is not an address of this machine: try scripts/serve --host 0.0.0.0."),
    ],
)
async def test_a_host_that_is_none_of_this_machine(url: str, host: str, message: str) -> None:
    assert await run(url, "api.commands.serve", "--host", host) == (1, "", f"{message}\n")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_server_says_when_its_port_is_taken(url: str, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = f"Port {port} cannot be had (Address already in use): try scripts/serve --port {port + 1}.\n"
        arguments = ("api.commands.serve", "--port", str(port), "--workers", workers)
        assert await run(url, *arguments) == (1, "", said)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["DELIVERY_NOTES_FOLDER", "MAIL_FOLDER"])
async def test_a_folder_that_is_none(url: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(setting, "/nowhere")
    assert await run(url, "api.commands.serve") == (2, "", "/nowhere is not a folder.\n")


@pytest.mark.slow
async def test_a_folder_for_mail_that_cannot_be_made(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAIL_URL", file_url("file", tmp_path / "file" / "mail"))
    monkeypatch.setenv("EFFECTS", "true")
    assert await run(url, "api.commands.serve") == (
        2,
        "",
        f"E-mail cannot be written into {tmp_path}/file/mail: set MAIL_URL to a mail server (smtp://…) or to a folder"
        " that this user may write to (file:///FOLDER).\n",
    )


@pytest.mark.slow
async def test_the_demo_s_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = f"{tmp_path}/file/demo cannot be made (Not a directory): try scripts/demo --folder FOLDER.\n"
    arguments = ("api.commands.demo", "--port", "0", "--folder", f"{tmp_path}/file/demo")
    assert await run("sqlite://unused", *arguments) == (1, "", said)


async def test_the_server_says_what_is_wrong_with_its_settings() -> None:
    code, _, err = await run("mysql://nowhere", "api.commands.serve")
    assert (code, err.startswith("DATABASE_URL: ")) == (2, True)
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["schema", "migrate"])
async def test_what_is_generated_is_up_to_date(url: str, command: str) -> None:
    code, _, err = await run(url, f"api.commands.{command}", "--check")
    assert (code, err) == (0, "")
