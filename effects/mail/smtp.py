"""Sending by SMTP (RFC 5321), with one connection for each message."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from aiosmtplib import SMTP
from aiosmtplib.errors import SMTPException, SMTPRecipientRefused, SMTPResponseException, SMTPServerDisconnected

from effects.mail.delivery import HandOver, InDoubt, Mail, NotTaken, Refused, ServerFailed

CONNECT_SECONDS: Final = 10.0
SECONDS: Final = 50.0  # for all of it: less than an attempt has, so that a missing answer is noticed here
_QUIT_SECONDS: Final = 2.0
_LONGEST_WORDS: Final = 500

_SEND_THE_TEXT: Final = 354
_NOT_AVAILABLE: Final = 421  # and the connection is closed

Starttls = Literal["offered", "required", "none"]


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server. With `tls`, the connection is encrypted from the start; otherwise `starttls` says when."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    starttls: Starttls = "offered"


class SmtpTransport:
    """Sends by SMTP. Certificates are checked against `context`, by default against those that the system trusts."""

    once = False
    is_sending = True

    def __init__(
        self,
        server: Server,
        *,
        context: ssl.SSLContext | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        seconds: float = SECONDS,
    ) -> None:
        self._server = server
        self._context = context
        self._connect_seconds = connect_seconds
        self._seconds = seconds

    @asynccontextmanager
    async def prepare(self, mail: Mail) -> AsyncIterator[HandOver]:
        deadline = asyncio.get_running_loop().time() + self._seconds
        client = self._client(mail.sender)
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._introduce(client)
                    await _address(client, mail)
            except (SMTPException, OSError) as error:
                raise _failure(error) from error
            yield partial(_hand_over, client, mail.content, deadline)
            with suppress(SMTPException, OSError):
                await client.quit(timeout=_QUIT_SECONDS)
        finally:
            client.close()

    def _client(self, sender: str) -> SMTP:
        return SMTP(
            hostname=self._server.host,
            port=self._server.port,
            local_hostname=sender.rpartition("@")[2],
            use_tls=self._server.tls,
            start_tls=False,  # begun below, if it is wanted
            tls_context=self._context,
            timeout=self._seconds,
        )

    async def _introduce(self, client: SMTP) -> None:
        try:
            await client.connect(timeout=self._connect_seconds)
            await client.ehlo()
            await self._secure(client)
        except SMTPResponseException as error:  # the server does not know the message yet
            raise ServerFailed(_words(error)) from error

    async def _secure(self, client: SMTP) -> None:
        server = self._server
        if server.starttls == "required" or (server.starttls == "offered" and client.supports_extension("starttls")):
            await client.starttls()
            await client.ehlo()
        if server.user is not None:
            await client.login(server.user, server.password or "")


async def _address(client: SMTP, mail: Mail) -> None:
    """Name sender and recipient, until the server waits for the text. Without the text, it forgets them."""
    await client.mail(mail.sender)
    try:
        await client.rcpt(mail.recipient)
    except SMTPRecipientRefused as error:
        raise _refusal(error) from error
    response = await client.execute_command(b"DATA")
    if response.code != _SEND_THE_TEXT:
        raise _refusal(SMTPResponseException(response.code, response.message))


async def _hand_over(client: SMTP, content: bytes, deadline: float) -> None:
    protocol = client.protocol
    try:
        if protocol is None:
            raise SMTPServerDisconnected("Connection lost")
        protocol.write(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
    except SMTPServerDisconnected as error:
        raise ServerFailed(_words(error)) from error
    try:
        async with asyncio.timeout_at(deadline):
            response = await protocol.read_response()
    except (SMTPException, OSError) as error:
        raise InDoubt(_words(error)) from error
    if not 200 <= response.code < 300:
        answer = SMTPResponseException(response.code, response.message)
        raise _refusal(answer) if 400 <= response.code < 600 else InDoubt(_words(answer))


def _refusal(error: SMTPResponseException) -> Exception:
    return Refused(_words(error)) if 500 <= error.code < 600 else _failure(error)


def _failure(error: Exception) -> NotTaken:
    """Return ServerFailed, or NotTaken if the answer may be about this message alone, such as a full mailbox."""
    is_about_it = isinstance(error, SMTPResponseException) and error.code != _NOT_AVAILABLE
    return (NotTaken if is_about_it else ServerFailed)(_words(error))


def _words(error: Exception) -> str:
    """Return the server's answer, or else what went wrong, as one short line that can be stored."""
    if isinstance(error, SMTPResponseException):
        text = f"the mail server answered {error.code} {error.message}"
    elif isinstance(error, TimeoutError):
        text = "the mail server did not answer in time"
    else:
        text = str(error) or type(error).__name__
    return re.sub(r"[\x00-\x20\x7f\ud800-\udfff]+", " ", text)[:_LONGEST_WORDS].strip()
