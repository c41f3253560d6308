"""A mail server for the tests, which does as it is told, and the e-mails that an order's events bring about."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from aiosmtpd.smtp import SMTP, AuthResult

from domain.orders.placing import NewAddress, NewCustomer
from effects.attempts import attempt
from effects.mail.delivery import Transport
from effects.mail.mailing import Mailing
from effects.mail.settings import MailSettings, load
from effects.mail.smtp import SmtpTransport
from effects.mail.transport import server_of
from models import Effect, Order, OrderEvent
from models.enums import EffectKind, EmailKind, OrderEventType

ADDRESS: Final = "ladina@example.com"
LADINA: Final = NewCustomer(email=ADDRESS, name="Ladina Großenbacher")
ST_MORITZ: Final = NewAddress(
    name="Ladina Großenbacher", address1="Via Maistra 7", postal_code="7500", city="St. Moritz", country_code="CH"
)


@dataclass
class PostOffice:
    """Takes messages. `answers` are what it says in place of OK, once each, by command.

    `reached` is set where a command of that name has come to be `held`, which it is until `release` is set.
    """

    answers: dict[str, str] = field(default_factory=dict)
    messages: list[EmailMessage] = field(default_factory=list)
    drops_after: str | None = None
    held: str | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    logins: list[str] = field(default_factory=list)
    envelopes: list[tuple[str, str, list[str]]] = field(default_factory=list)  # who says hello, from whom, to whom
    encrypted: list[bool] = field(default_factory=list)
    port: int = 0

    async def handle_MAIL(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        self.encrypted.append(session.ssl is not None)
        envelope.mail_from = address
        return await self._answer("MAIL", server)

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        answer = await self._answer("RCPT", server)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if "DATA" not in self.answers:
            self.messages.append(parsed(envelope.content))
            self.envelopes.append((session.host_name, envelope.mail_from, list(envelope.rcpt_tos)))
        return await self._answer("DATA", server)

    async def _answer(self, command: str, server: SMTP) -> str:
        if self.held == command:
            self.reached.set()
            await self.release.wait()
        if self.drops_after == command:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return self.answers.pop(command, "250 OK")

    def authenticate(self, server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password == b"p@ss/word", handled=False)

    def transport(self, url: str = "smtp://127.0.0.1:{port}", **options: Any) -> SmtpTransport:
        return SmtpTransport(server_of(url.format(port=self.port)), **options)


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@asynccontextmanager
async def post_office(
    *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, login: bool = False
) -> AsyncIterator[PostOffice]:
    office = PostOffice()
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        return SMTP(
            office,
            hostname="mail.test",
            tls_context=starttls,
            auth_required=login,
            authenticator=office.authenticate,
            loop=loop,
        )

    server = await loop.create_server(connection, "127.0.0.1", 0, ssl=tls)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        office.release.set()
        server.close()


async def link(line_id: UUID) -> str:
    return f"https://shop.example/downloads/{line_id}?signature=1"


def shop(folder: Path | None = None, text: str = "") -> MailSettings:
    """The settings of a folder that has this in its `settings.toml`."""
    if folder is None:
        return load(None)
    (folder / "settings.toml").write_text(text, encoding="utf-8")
    return load(folder)


def mailing(transport: Transport, settings: MailSettings | None = None, **options: Any) -> Mailing:
    return Mailing(settings or load(None), transport, link, **options)


async def effects_of(order: Order, sending: Mailing, *types: OrderEventType) -> list[Effect]:
    """What the order's events bring about, as the engine would write it down."""
    events = await OrderEvent.filter(order_id=order.id).order_by("id")
    planned = await sending.plan([each for each in events if not types or each.type in types])
    return [await effect_of(event, each.subject, each.target) for event, each in planned]


async def effect_of(event: OrderEvent, subject: str, target: str) -> Effect:
    """An effect as the engine has it when it has leased it for the first time."""
    now = datetime.now(UTC)
    return await Effect.create(
        event_id=event.id,
        order_id=event.order_id,
        channel_id=event.channel_id,
        kind=EffectKind.EMAIL,
        subject=EmailKind(subject),
        target=target,
        due_at=now,
        created_at=now,
        attempts=1,
    )


async def attempted(sending: Mailing, effect: Effect) -> Effect:
    """What became of the effect after another attempt, which begins with the row as it is stored."""
    row = await Effect.get(id=effect.id)
    if row.state == "WAITING":
        await attempt(sending, row)
    return await Effect.get(id=effect.id)


async def told(order: Order) -> list[str]:
    """What the timeline says about e-mails."""
    events = OrderEvent.filter(order_id=order.id, type__in=[OrderEventType.EMAIL_SENT, OrderEventType.EMAIL_FAILED])
    return [event.message for event in await events.order_by("id")]


def part(message: EmailMessage, subtype: str) -> str:
    """The text of that kind (`plain` or `html`)."""
    body = message.get_body((subtype,))
    assert body is not None
    content: str = body.get_content()
    return content.replace("\r\n", "\n").replace("\u00a0", " ")
