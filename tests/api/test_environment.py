"""What a start says of its environment, and who may read what a server writes."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest

from api.commands.environment import find_misspelt
from api.commands.temporary_server import server_process
from effects.mail.eml import FolderTransport
from models.engine.database import migrate
from models.engine.file_urls import file_url
from models.enums import EffectState, OrderEventType
from tests.api.test_commands import run
from tests.api.test_storage import fill, small_disk
from tests.api.test_workers import new_token
from tests.clients import WAIT, new_client
from tests.domain.shop import place
from tests.effects.mail.post import LADINA, attempted, effects_of, mailing

pytestmark = pytest.mark.wire

PLACE = """mutation { placeOrder(input: {
    channel: "web", currency: "CHF", customer: { email: "ladina@example.com" },
    lines: [{ title: "Socks", quantity: 1, unitPrice: "9.90" }] }) { userErrors { message } } }"""
EVENTS = "{ orders(first: 1) { nodes { events { nodes { type message data } } } } }"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("METRIC", "METRICS"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("cors_origin", "CORS_ORIGINS"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASEURL", "DATABASE_URL"),
        ("MAIL_URI", "MAIL_URL"),
        ("STRIPE_KEY", "STRIPE_API_KEY"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("OIDC_ISUER", "OIDC_ISSUER"),
        ("ORDERSTREAM_METRICS", "METRICS"),
        ("ORDERSTREAM_METRIC", "METRICS"),
    ],
)
def test_misspelt_settings(name: str, meant: str) -> None:
    assert list(find_misspelt({name: "x", "DATABASE_URL": "sqlite://x", "METRICS": "true"})) == [(name, meant)]


@pytest.mark.parametrize(
    "names",
    [
        "PATH HOME HOSTNAME MAIL MAILTO MAILCHECK PORT HOST LOGNAME LANG EDITOR PYTHONPATH WEB_CONCURRENCY",
        "DATABASE_HOST DATABASE_NAME DATABASE_URL_OF_THE_TESTS POSTGRES_URL REDIS_URL BASE_URL PUBLIC_IP ORDERSTREAM_",
        "RENDER RENDER_SERVICE_ID RENDER_SERVICE_NAME RENDER_EXTERNAL_URL LOG_DIR LOG_FILE UV_LOG_LEVEL METRICS_PORT",
        "STRIPE_PUBLISHABLE_KEY OIDC_CLIENT_ID MAIL_HOST MAIL_FROM MAIL_PORT MAX_JOBS MAX_CONNECTIONS",
        "DOCUMENT_ROOT metrics Database_Url FORWARDED_ALLOW_IPS",
    ],
)
def test_what_is_no_misspelt_setting(names: str) -> None:
    assert list(find_misspelt(dict.fromkeys(names.split(), "x"))) == []


@pytest.mark.slow
async def test_a_misspelt_setting_is_told_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRIC", "true")
    warning = "METRIC is not a setting and is ignored: is METRICS meant?\n"
    for command in (["migrate"], ["token", "list"]):
        code, _, err = await run(database_url, f"api.commands.{command[0]}", *command[1:])
        assert (code, err) == (0, warning)
    with TemporaryFile() as log:
        async with server_process(database_url, "--workers", "2", log=log):
            pass
        assert os.pread(log.fileno(), 1_000_000, 0).count(warning.encode()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("DATABASE_URL", "mysql://me:secret@nowhere", "a database URL starts with sqlite:// or postgres://, not with"),
        ("DATABASE_URL", "sqlite:///tmp/x?busy_timout=5", "SQLite has no option busy_timout"),
        ("DATABASE_URL", "postgres://me:secret@[::1/orders", "Invalid IPv6 URL"),
        ("BROADCAST_URL", "kafka://me:secret@nowhere", "a bell's URL starts with redis://"),
        ("BROADCAST_URL", "redis://", "a bell's URL names a host"),
        ("BROADCAST_URL", "redis://me:secret@nowhere:port", "Port could not be cast"),
        ("MAIL_URL", "http://me:secret@nowhere", "A mail server is smtp://"),
        ("EFFECTS", "perhaps", "Input should be a valid boolean"),
        ("MAX_COST", "0", "Input should be greater than 0"),
    ],
)
async def test_a_wrong_value_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(name, value)
    url = value if name == "DATABASE_URL" else f"sqlite://{tmp_path}/shop.sqlite3"
    code, out, err = await run(url, "api.commands.migrate")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"{name}: {complaint}"), err
    assert "secret" not in err


@pytest.fixture
def open_umask() -> Iterator[None]:
    """By which files are made that everybody can read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


def readable(folder: Path) -> list[str]:
    """What somebody else may read, write or enter, of a folder and all that is in it."""
    return [str(each) for each in (folder, *folder.rglob("*")) if each.stat().st_mode & 0o077]


@pytest.mark.slow
@pytest.mark.usefixtures("open_umask")
async def test_mail_that_is_not_sent_is_told_and_for_the_server_alone(tmp_path: Path) -> None:
    url, mail = f"sqlite://{tmp_path}/data/shop.sqlite3", tmp_path / "mail" / "out"
    await migrate(url)
    token = await new_token(url)
    environment = {"EFFECTS": "true", "MAIL_URL": file_url("file", mail), "POLL_SECONDS": "0.05"}
    with TemporaryFile() as log:
        async with (
            server_process(url, environment=environment, log=log) as (graphql, _),
            new_client(headers={"Authorization": f"Bearer {token}"}) as http,
        ):
            told = os.pread(log.fileno(), 1_000_000, 0).decode()
            assert told.count(f"MAIL_URL names a folder: no e-mail is sent, it is written to files in {mail}.") == 1
            answer = await http.post(graphql, json={"query": PLACE})
            assert answer.json() == {"data": {"placeOrder": {"userErrors": []}}}
            event = await sent(http, graphql)
            assert readable(tmp_path / "data") == []
            assert readable(mail.parent) == []
    assert event["message"] == (
        "ORDER_CONFIRMATION to ladina@example.com was written to a file, not sent: there is no mail server."
    )
    assert event["data"]["writtenToFile"] is True
    assert len(list(mail.glob("*.eml"))) == 1
    assert len(list((tmp_path / "data").iterdir())) >= 1


async def sent(http: Any, graphql: str) -> dict[str, Any]:
    """The event of the first e-mail, once it is there."""
    async with asyncio.timeout(WAIT):
        while True:
            answer = (await http.post(graphql, json={"query": EVENTS})).json()
            [order] = answer["data"]["orders"]["nodes"]
            for event in order["events"]["nodes"]:
                if event["type"] == "EMAIL_SENT":
                    found: dict[str, Any] = event
                    return found
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_what_everybody_could_read_is_closed_at_the_start(tmp_path: Path) -> None:
    path, shared, mail = tmp_path / "shop.sqlite3", tmp_path / "shared.sqlite3", tmp_path / "old.eml"
    for each, mode in ((path, 0o644), (shared, 0o640), (mail, 0o644)):
        each.touch()
        each.chmod(mode)
    for each in (path, shared):
        await migrate(f"sqlite://{each}")
    FolderTransport(tmp_path).restrict()
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, shared, mail)]
    assert modes == [0o600, 0o640, 0o600], "a group that was let in on purpose stays"


@pytest.mark.usefixtures("database")
async def test_mail_waits_for_room_on_its_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        sending = mailing(FolderTransport(disk))
        order = await place(customer=LADINA)
        [effect] = await effects_of(order, sending, OrderEventType.ORDER_PLACED)
        filler = fill(disk)
        waiting = await attempted(sending, effect)
        assert waiting.state is EffectState.WAITING
        assert "No space left on device" in str(waiting.error)
        assert list(disk.iterdir()) == [filler], "half a message was left"
        filler.unlink()
        assert (await attempted(sending, effect)).state is EffectState.DONE
        assert len(list(disk.glob("*.eml"))) == 1
