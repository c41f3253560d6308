"""The server's own HTTP calls: the one client for all of them.

A call is only made to an address that was checked (`domain.egress`). It has one time limit for everything, and no more
of the answer is read than the caller wants. Redirects are not followed: a signed body is for one receiver. Proxies of
the environment (HTTPS_PROXY and the like) are not used: a proxy looks names up by itself, so nothing could be checked.
"""

# ruff: noqa: ASYNC109 - the methods with a `timeout` are httpcore's

import asyncio
import re
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache, cached_property
from typing import Any, Final

import httpcore
import httpx

from domain.egress import DEFAULT_PORTS, NOT_PUBLIC, Address, BadDestination, Destination, Egress
from effects.effect import CounterpartFailed
from effects.resolving import Resolver

HEAD_BYTES: Final = 128 * 1024  # of an answer's status and headers; the parser has its own limit below that
ADDRESS_SECONDS: Final = 4.0  # to connect to one address, before the name's next one is tried

_SECONDS: Final = re.compile(r"[0-9]{1,100}", re.ASCII)
_MOST_SECONDS: Final = 1_000_000_000  # so that a time can be worked out
_HEADERS: Final = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "Orderstream"}


class CallFailed(CounterpartFailed):
    """There was no answer, or no valid one. The message is for people, and never contains the URL."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def retry_after(self) -> timedelta | None:
        """Return for how long the header Retry-After asks to wait; None without a sensible one.

        It is a number of seconds or a date (RFC 9110, section 10.2.3).
        """
        text = self.headers.get("retry-after", "")
        if _SECONDS.fullmatch(text):
            return timedelta(seconds=min(int(text), _MOST_SECONDS))
        try:
            at = parsedate_to_datetime(text)
            after = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)
        except (ValueError, TypeError, OverflowError):
            return None
        return after if after >= timedelta() else None


@cache
def trusted() -> ssl.SSLContext:
    """Return the certificate authorities of SSL_CERT_FILE or SSL_CERT_DIR, else Mozilla's.

    They are read once, which takes a while.
    """
    return httpx.create_ssl_context()


class Outgoing:
    """Makes calls. `most_bytes` is how long an answer's body may be; with 0, bodies are not read.

    `context` has the certificate authorities to trust: by default `trusted`, which the first call then waits for.
    After `address_seconds` without a connection, a name's next address is tried.
    """

    def __init__(
        self,
        egress: Egress,
        *,
        most_bytes: int = 0,
        context: ssl.SSLContext | None = None,
        address_seconds: float = ADDRESS_SECONDS,
    ) -> None:
        self._egress = egress
        self._most_bytes = most_bytes
        self._context = context
        self._address_seconds = address_seconds
        self._resolver = Resolver()

    async def call(
        self, method: str, url: str, *, seconds: float, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> Answer:
        """Return the answer, whatever its status is.

        Raise BadDestination if the URL leads to where no call may go, and CallFailed if no answer comes in time, or
        one that is too long.
        """
        to = self._egress.check(url)
        request = (method, httpcore.URL(scheme=to.scheme, host=to.host, port=to.port, target=to.target))
        sent = _encode({"Host": _host(to), **_HEADERS, **(headers or {})})
        pool = self._pool
        try:
            async with asyncio.timeout(seconds), pool.stream(*request, headers=sent, content=content) as response:
                return await self._read(response)
        except TimeoutError as error:
            raise CallFailed(f"no answer within {seconds:g} seconds") from error
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            raise CallFailed(f"the connection failed: {_words(error)}") from error
        except httpcore.ProtocolError as error:
            raise CallFailed(f"the answer is not valid HTTP: {_words(error)}") from error

    async def close(self) -> None:
        self._resolver.close()
        if "_pool" in self.__dict__:
            await self._pool.aclose()

    @cached_property
    def _pool(self) -> httpcore.AsyncConnectionPool:
        return httpcore.AsyncConnectionPool(
            ssl_context=self._context or trusted(),
            max_connections=None,
            max_keepalive_connections=10,
            keepalive_expiry=5.0,
            network_backend=_CheckedNetwork(
                self._egress, self._resolver, HEAD_BYTES + self._most_bytes, self._address_seconds
            ),
        )

    async def _read(self, response: httpcore.Response) -> Answer:
        headers = httpx.Headers(response.headers)
        if not self._most_bytes:  # the connection is closed with what is left of the answer
            return Answer(response.status, headers, b"")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise CallFailed("the answer is compressed, and was not asked for so")
        return Answer(response.status, headers, await response.aread())


class _CheckedNetwork(httpcore.AnyIOBackend):
    """Looks names up, and opens connections only to addresses that were checked."""

    def __init__(self, egress: Egress, resolver: Resolver, most_bytes: int, address_seconds: float) -> None:
        self._egress = egress
        self._resolver = resolver
        self._most_bytes = most_bytes
        self._address_seconds = address_seconds

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await self._look_up(host, port)
        permitted = [address for address in found if self._egress.permits(host, port, address)]
        if not permitted:
            raise BadDestination(NOT_PUBLIC)
        *others, last = permitted
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._connect(address, port, self._address_seconds)
        return await self._connect(last, port)

    async def _look_up(self, host: str, port: int) -> list[Address]:
        try:
            return await self._resolver.look_up(host, port)
        except (OSError, UnicodeError) as error:
            raise CallFailed("the host name cannot be found") from error

    async def _connect(self, address: Address, port: int, timeout: float | None = None) -> httpcore.AsyncNetworkStream:
        return _Metered(await super().connect_tcp(str(address), port, timeout), self._most_bytes)


class _Metered(httpcore.AsyncNetworkStream):
    """A connection on which an answer may have at most `most` bytes, including its headers."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, most: int) -> None:
        self._stream = stream
        self._most = self._left = most

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._left == 0:
            raise CallFailed("the answer is too long")
        data = await self._stream.read(min(max_bytes, self._left), timeout)
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._left = self._most  # what is read next answers what is written here
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Metered(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._most)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _host(to: Destination) -> str:
    host = f"[{to.host}]" if ":" in to.host else to.host
    return host if to.port == DEFAULT_PORTS[to.scheme] else f"{host}:{to.port}"


def _encode(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
