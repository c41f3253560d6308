"""The one client for calls of the server's own: where they go, how long they take, and how much is read."""

import asyncio
import gzip
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from domain.egress import NOT_PUBLIC, BadDestination, Egress
from effects.outgoing import Answer, CallFailed, Outgoing
from effects.resolving import Resolver
from tests.clients import WAIT
from tests.effects import service as badly
from tests.effects.service import LOCAL, Service, serving

SOON = 0.3  # seconds for a call of which no answer will come
BUFFERS = 20_000_000  # bytes that the system may take from a server before anybody reads them

Names = dict[str, list[str]]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


@pytest.fixture
async def new() -> AsyncIterator[Callable[..., Outgoing]]:
    """Makes clients, by default one that may call this machine."""
    made: list[Outgoing] = []

    def new(egress: Egress = LOCAL, **options: Any) -> Outgoing:
        made.append(Outgoing(egress, **options))
        return made[-1]

    yield new
    for each in made:
        await each.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What the system's resolver knows, besides IP addresses: each look-up takes the next answer off the list."""
    known: Names = {}
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in known:
            return look_up(host, *arguments, **options)
        if not known[host]:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return [found for each in known[host].pop(0).split() for found in look_up(each, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


async def post(outgoing: Outgoing, url: str, seconds: float = 5) -> Answer:
    return await outgoing.call("POST", url, content=b"{}", seconds=seconds)


async def test_a_call(new: Callable[..., Outgoing], service: Service) -> None:
    service.answers = [b"HTTP/1.1 201 X\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok"]
    answer = await new(most_bytes=100).call("POST", service.url, headers={"X-B": "c"}, content=b"hello", seconds=5)
    assert (answer.status, answer.headers["x-a"], answer.body) == (201, "b", b"ok")
    [(headers, body)] = service.heard
    assert (headers["host"], headers["x-b"], body) == (f"127.0.0.1:{service.port}", "c", "hello")
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(new: Callable[..., Outgoing], service: Service, status: int) -> None:
    async with serving() as other:
        service.answers = [
            f"HTTP/1.1 {status} X\r\nLocation: {other.url}\r\nContent-Length: 0\r\n\r\n".encode() for _ in range(2)
        ]
        assert (await post(new(), service.url)).status == status
        assert (await post(new(most_bytes=100), service.url)).status == status
        assert other.heard == []


async def test_proxies_of_the_environment_are_not_used(
    new: Callable[..., Outgoing], service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await post(new(), service.url)
        assert (len(service.heard), proxy.heard) == (1, [])


@pytest.mark.parametrize("answer", [badly.endless_body, badly.dribbled_body])
async def test_a_status_is_enough(new: Callable[..., Outgoing], service: Service, answer: badly.Answer) -> None:
    service.answers = [answer]
    assert (await post(new(), service.url)).status == 200
    await asyncio.wait_for(service.ended.wait(), 10)  # the connection was closed
    assert service.sent < BUFFERS


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (badly.dribbled_head, "no answer within 0.3 seconds"),
        (badly.endless_head, "the answer is not valid HTTP: "),
        (badly.endless_interim_answers, "the answer is too long"),
        (None, "the answer is not valid HTTP: "),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the answer is not valid HTTP: "),
        (b"HTTP/1.1 200 OK\r\nX-A: half", "the answer is not valid HTTP: "),
        (b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 200_000 + b"\r\n\r\n", "the answer is not valid HTTP: "),
    ],
)
@pytest.mark.parametrize("most_bytes", [0, 1_000])
async def test_an_answer_of_which_no_status_comes(
    new: Callable[..., Outgoing], service: Service, answer: Any, error: str, most_bytes: int
) -> None:
    service.answers = [answer]
    with pytest.raises(CallFailed) as caught:
        await post(new(most_bytes=most_bytes), service.url, SOON if answer is badly.dribbled_head else 10)
    assert str(caught.value).startswith(error)
    await asyncio.wait_for(service.ended.wait(), 10)
    assert service.sent < BUFFERS


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (badly.endless_body, "the answer is too long"),
        (badly.dribbled_body, "no answer within 0.3 seconds"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "the answer is not valid HTTP: "),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(10_000_000)),
            "the answer is compressed, and was not asked for so",
        ),
    ],
)
async def test_a_body_that_is_wanted_and_does_not_come(
    new: Callable[..., Outgoing], service: Service, answer: Any, error: str
) -> None:
    service.answers = [answer]
    with pytest.raises(CallFailed) as caught:
        await post(new(most_bytes=1_000), service.url, SOON if answer is badly.dribbled_body else 10)
    assert str(caught.value).startswith(error)
    await asyncio.wait_for(service.ended.wait(), 10)
    assert service.sent < BUFFERS


async def test_a_server_that_takes_no_call(new: Callable[..., Outgoing]) -> None:
    """It accepts connections and reads nothing; or nobody is there at all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(CallFailed, match=r"no answer within 0\.3 seconds"):
            await post(new(), url, SOON)
    with pytest.raises(CallFailed, match="the connection failed"):
        await post(new(), url)


async def test_a_name_is_looked_up_once_for_a_connection(
    new: Callable[..., Outgoing], service: Service, names: Names
) -> None:
    """It goes to the address that was checked, whatever the name means a moment later."""
    url = f"http://lager.example:{service.port}/"
    names["lager.example"] = ["127.0.0.1", "10.0.0.1"]
    outgoing = new(Egress.allowing(["127.0.0.0/8"]))
    await post(outgoing, url)
    assert len(service.heard) == 1
    assert service.heard[0][0]["host"] == f"lager.example:{service.port}"
    with pytest.raises(BadDestination, match=NOT_PUBLIC):
        await post(outgoing, url)
    with pytest.raises(CallFailed, match="the host name cannot be found"):
        await post(outgoing, url)
    assert len(service.heard) == 1


@pytest.mark.parametrize("found", ["127.0.0.1", "10.0.0.1 127.0.0.1", "::ffff:127.0.0.1", "::1", "169.254.169.254"])
async def test_a_name_that_leads_inside(
    new: Callable[..., Outgoing], service: Service, names: Names, found: str
) -> None:
    names["lager.example"] = [found]
    with pytest.raises(BadDestination, match=NOT_PUBLIC):
        await post(new(Egress()), f"http://lager.example:{service.port}/")
    assert service.heard == []


async def test_of_several_addresses_only_permitted_ones_are_used(
    new: Callable[..., Outgoing], service: Service, names: Names
) -> None:
    """The first is not permitted, at the second nobody listens, the third answers."""
    names["lager.example"] = ["10.0.0.1 127.0.0.2 127.0.0.1"]
    assert (await post(new(), f"http://lager.example:{service.port}/")).status == 200


async def test_names_that_hang_stop_nothing_else(
    new: Callable[..., Outgoing], service: Service, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what asyncio has threads for, nor calls to other names. Each of them takes one thread."""
    hanging: list[str] = []
    answering, look_up = threading.Event(), socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith(".hangs.example"):
            hanging.append(host)
            answering.wait()
        return look_up(host, *arguments, **options)

    names |= {f"n{number}.hangs.example": [] for number in range(20)} | {"lager.example": ["127.0.0.1"]}
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    outgoing = new()
    for _ in range(2):
        calls = [post(outgoing, f"http://{name}:{service.port}/", SOON) for name in names if "hangs" in name]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert {str(each) for each in failures} == {f"no answer within {SOON} seconds"}
    assert await asyncio.wait_for(asyncio.to_thread(int), WAIT) == 0
    assert (await post(outgoing, f"http://lager.example:{service.port}/")).status == 200
    assert len(hanging) == 20
    answering.set()
    with pytest.raises(CallFailed, match="cannot be found"):
        await post(outgoing, f"http://n1.hangs.example:{service.port}/")


async def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    new: Callable[..., Outgoing], service: Service, names: Names
) -> None:
    names["lager.example"] = ["127.0.0.2 127.0.0.1"]
    with socket.create_server(("127.0.0.2", service.port), backlog=0), ExitStack() as waiting:
        for _ in range(3):  # nobody accepts these, and there is no room for more
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(("127.0.0.2", service.port))
        answer = await post(new(address_seconds=0.2), f"http://lager.example:{service.port}/")
    assert answer.status == 200


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for lager.example, which signs itself."""
    file = tmp_path_factory.mktemp("tls") / "lager.pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lager.example"
        f" -addext subjectAltName=DNS:lager.example -keyout {file} -out {file}.crt && cat {file}.crt >> {file}",
        shell=True,
        check=True,
        capture_output=True,
    )
    return file


async def test_tls_is_with_the_name(new: Callable[..., Outgoing], names: Names, certificate: Path) -> None:
    """The certificate is checked for the URL's host name, and the server is told that name, not the address."""
    asked: list[str | None] = []
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    names.update({"lager.example": ["127.0.0.1"] * 2, "other.example": ["127.0.0.1"]})
    trusting = ssl.create_default_context(cafile=certificate)
    async with serving(tls) as service:
        assert (await post(new(context=trusting), f"https://lager.example:{service.port}/")).status == 200
        for url, context in (("other.example", trusting), ("lager.example", None)):
            with pytest.raises(CallFailed, match="certificate verify failed"):
                await post(new(context=context), f"https://{url}:{service.port}/")
        assert len(service.heard) == 1
    assert asked == ["lager.example", "other.example", "lager.example"]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("120", timedelta(minutes=2)),
        ("0", timedelta()),
        ("9" * 50, timedelta(seconds=1_000_000_000)),
        *((text, None) for text in ("", "-5", "1.5", "soon", "٣", "9" * 101, "Wed, 21 Oct 99999 07:28:00 GMT")),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after(text: str, after: timedelta | None) -> None:
    assert Answer(503, httpx.Headers([(b"Retry-After", text.encode())]), b"").retry_after == after


def test_retry_after_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    after = Answer(503, httpx.Headers({"Retry-After": date}), b"").retry_after
    assert after is not None
    assert timedelta(minutes=4) < after <= timedelta(minutes=5)


async def test_a_look_up_whose_thread_cannot_be_started_takes_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(most_at_once=2)

    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match="can't start new thread"):
                await resolver.look_up("localhost", 80)
    assert await resolver.look_up("localhost", 80)
    resolver.close()
