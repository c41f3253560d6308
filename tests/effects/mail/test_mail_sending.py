"""Sending: each answer of a mail server, and the lack of one, leads to one message or a clear word, never to two."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from effects.attempts import attempt
from effects.effect import CounterpartFailed
from effects.mail.mailing import Mailing
from models import Effect, Order
from models.engine.rows import save
from models.enums import EffectState, OrderEventType
from tests.domain.shop import new_order, place
from tests.effects.mail.post import ADDRESS, LADINA, PostOffice, attempted, effects_of, mailing, part, post_office, told
from tests.missing import OPENSSL

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.wire]

SENT = [f"ORDER_CONFIRMATION was sent to {ADDRESS}."]


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with post_office() as office:
        yield office


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip(OPENSSL)
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    key = path.with_name("key.pem")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mail.test"
        " -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", path], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


@pytest.fixture
def served(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


async def confirmation(sending: Mailing) -> tuple[Order, Effect]:
    """An order, and the e-mail that confirms it."""
    order = await place(customer=LADINA)
    [effect] = await effects_of(order, sending, OrderEventType.ORDER_PLACED)
    return order, effect


async def test_a_message_arrives_once(office: PostOffice) -> None:
    sending = mailing(office.transport())
    order, effect = await confirmation(sending)
    done = await attempted(sending, effect)
    assert (done.state, done.error) == (EffectState.DONE, None)
    assert await told(order) == SENT
    await attempted(sending, effect)
    [message] = office.messages
    assert office.envelopes == [("localhost", "orders@localhost", [ADDRESS])]
    assert message["To"] == f"Ladina Großenbacher <{ADDRESS}>"
    assert message["From"] == "orders@localhost"
    assert message["Subject"] == "Ihre Bestellung 1001"
    assert message["Message-ID"] == f"<{effect.id.hex}.0@localhost>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    assert "Guten Tag Ladina Großenbacher" in part(message, "plain")
    assert '<html lang="de-CH">' in part(message, "html")


async def test_a_line_with_a_dot_arrives_as_it_is(office: PostOffice) -> None:
    sending = mailing(office.transport())
    order = await place(customer=LADINA, lines=[new_order().lines[0]], note=".\n.\n..x")
    [effect] = await effects_of(order, sending, OrderEventType.ORDER_PLACED)
    effect.subject = "NEW_ORDER"
    await save(effect)
    assert (await attempted(sending, effect)).state is EffectState.DONE
    assert ".\n.\n..x\n" in part(office.messages[0], "plain")


@pytest.mark.parametrize(
    ("command", "answer", "error"),
    [
        ("RCPT", "550 5.1.1 No such\x00 user", "the mail server answered 550 5.1.1 No such user"),
        ("DATA", "554 5.7.1 Spam", "the mail server answered 554 5.7.1 Spam"),
    ],
)
async def test_what_is_refused_for_good_is_said_and_not_tried_again(
    office: PostOffice, command: str, answer: str, error: str
) -> None:
    office.answers[command] = answer
    sending = mailing(office.transport())
    order, effect = await confirmation(sending)
    failed = await attempted(sending, effect)
    assert (failed.state, failed.error) == (EffectState.FAILED, error)
    assert await told(order) == [f"ORDER_CONFIRMATION could not be sent to {ADDRESS}: {error}"]
    assert office.messages == []


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("MAIL", "451 4.3.0 Try later"),
        ("MAIL", "550 5.7.1 Sender not allowed"),  # ours to mend, not the customer's
        ("RCPT", "451 4.7.1 Greylisted"),
        ("RCPT", "nonsense"),
        ("DATA", "452 4.3.1 Disk full"),
    ],
)
async def test_what_is_refused_for_now_is_tried_again(office: PostOffice, command: str, answer: str) -> None:
    office.answers[command] = answer
    sending = mailing(office.transport())
    order, effect = await confirmation(sending)
    waiting = await attempted(sending, effect)
    assert waiting.state is EffectState.WAITING
    assert answer in (waiting.error or "")
    assert not waiting.data.get("handed_over_at")
    assert (office.messages, await told(order)) == ([], [])
    assert (await attempted(sending, effect)).state is EffectState.DONE
    assert (len(office.messages), await told(order)) == (1, SENT)


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
async def test_a_connection_that_drops_before_the_text(office: PostOffice, command: str) -> None:
    office.drops_after = command
    sending = mailing(office.transport())
    _, effect = await confirmation(sending)
    assert (await attempted(sending, effect)).state is EffectState.WAITING
    office.drops_after = None
    assert (await attempted(sending, effect)).state is EffectState.DONE
    assert len(office.messages) == 1


async def test_a_connection_that_drops_after_the_text(office: PostOffice) -> None:
    office.drops_after = "DATA"
    sending = mailing(office.transport())
    order, effect = await confirmation(sending)
    failed = await attempted(sending, effect)
    assert failed.state is EffectState.FAILED
    assert str(failed.error).startswith("it may have been sent already: ")
    assert len(await told(order)) == 1
    await attempted(sending, effect)
    assert len(office.messages) == 1


@pytest.mark.parametrize(
    ("command", "state", "error"),
    [
        ("RCPT", EffectState.WAITING, "the mail server did not answer in time"),
        ("DATA", EffectState.FAILED, "it may have been sent already: the mail server did not answer in time"),
    ],
)
async def test_a_server_that_stalls(office: PostOffice, command: str, state: EffectState, error: str) -> None:
    office.held = command
    sending = mailing(office.transport(seconds=0.1))
    _, effect = await confirmation(sending)
    after = await attempted(sending, effect)
    assert (after.state, after.error) == (state, error)


async def test_a_server_that_is_not_there() -> None:
    async with post_office() as office:
        sending = mailing(office.transport())
    _, effect = await confirmation(sending)
    waiting = await attempted(sending, effect)
    assert waiting.state is EffectState.WAITING
    assert "Error connecting to 127.0.0.1" in (waiting.error or "")


async def test_an_address_that_is_none(office: PostOffice) -> None:
    sending = mailing(office.transport())
    _, effect = await confirmation(sending)
    effect.target = "ladina@example.com\r\nRCPT TO:<x@example.com>"
    await save(effect)
    failed = await attempted(sending, effect)
    assert (failed.state, failed.error) == (
        EffectState.FAILED,
        "this is not an e-mail address that mail can be sent to",
    )
    assert office.messages == []


async def test_a_message_that_is_sent_once_more_is_another_one(office: PostOffice) -> None:
    sending = mailing(office.transport())
    _, effect = await confirmation(sending)
    await attempted(sending, effect)
    await Effect.filter(id=effect.id).update(state=EffectState.WAITING, data={"round": 1})
    assert (await attempted(sending, effect)).state is EffectState.DONE
    assert [each["Message-ID"][:35] for each in office.messages] == [f"<{effect.id.hex}.{round}" for round in (0, 1)]


@pytest.mark.parametrize("user", ["", "shop:p%40ss%2Fword@"])
async def test_encryption_that_is_offered(served: ssl.SSLContext, trusting: ssl.SSLContext, user: str) -> None:
    async with post_office(starttls=served, login=bool(user)) as office:
        sending = mailing(office.transport(f"smtp://{user}127.0.0.1:{{port}}", context=trusting))
        _, effect = await confirmation(sending)
        done = await attempted(sending, effect)
        assert (done.state, done.error) == (EffectState.DONE, None)
        assert (len(office.messages), office.encrypted, office.logins) == (1, [True], ["shop"] if user else [])


async def test_encryption_from_the_beginning(served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with post_office(tls=served) as office:
        sending = mailing(office.transport("smtps://127.0.0.1:{port}", context=trusting))
        _, effect = await confirmation(sending)
        assert (await attempted(sending, effect)).state is EffectState.DONE
        assert len(office.messages) == 1


async def test_encryption_that_is_not_wanted(served: ssl.SSLContext) -> None:
    async with post_office(starttls=served) as office:
        sending = mailing(office.transport("smtp://127.0.0.1:{port}?starttls=none"))
        _, effect = await confirmation(sending)
        assert (await attempted(sending, effect)).state is EffectState.DONE
        assert office.encrypted == [False]


async def test_a_certificate_that_nobody_vouches_for(served: ssl.SSLContext) -> None:
    async with post_office(starttls=served) as office:
        sending = mailing(office.transport())
        _, effect = await confirmation(sending)
        waiting = await attempted(sending, effect)
        assert waiting.state is EffectState.WAITING
        assert "certificate verify failed" in (waiting.error or "")
        assert office.messages == []


async def test_no_password_without_encryption(office: PostOffice) -> None:
    sending = mailing(office.transport("smtp://shop:p%40ss%2Fword@127.0.0.1:{port}"))
    _, effect = await confirmation(sending)
    waiting = await attempted(sending, effect)
    assert waiting.error == "SMTP STARTTLS extension not supported by server."
    assert (office.logins, office.messages) == ([], [])


async def test_a_wrong_password(
    served: ssl.SSLContext, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with post_office(starttls=served, login=True) as office:
        sending = mailing(office.transport("smtp://shop:hushhush@127.0.0.1:{port}", context=trusting))
        _, effect = await confirmation(sending)
        waiting = await attempted(sending, effect)
        assert waiting.state is EffectState.WAITING
        assert "535" in (waiting.error or "")
        assert "hushhush" not in caplog.text + repr(sending._transport.__dict__)


async def test_a_stop_waits_for_the_answer(office: PostOffice) -> None:
    office.held = "DATA"
    sending = mailing(office.transport())
    order, effect = await confirmation(sending)
    task = asyncio.create_task(attempted(sending, effect))
    await office.reached.wait()
    task.cancel()
    office.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await Effect.get(id=effect.id)).state is EffectState.DONE
    assert (len(office.messages), await told(order)) == (1, SENT)


@pytest.mark.parametrize(
    ("answers", "drops_after", "is_its_fault"),
    [
        ({"MAIL": "421 4.3.2 Shutting down"}, None, True),
        ({"RCPT": "421 4.3.2 Shutting down"}, None, True),
        ({}, "MAIL", True),
        ({}, "DATA", True),  # it may have been sent: so it would be with the next
        ({"MAIL": "451 4.3.0 Try later"}, None, False),
        ({"RCPT": "450 4.2.0 Greylisted"}, None, False),
        ({"RCPT": "550 5.1.1 No such user"}, None, False),
        ({"DATA": "554 5.7.1 Spam"}, None, False),
    ],
)
async def test_whose_fault_it_is(
    office: PostOffice, answers: dict[str, str], drops_after: str | None, is_its_fault: bool
) -> None:
    office.answers, office.drops_after = answers, drops_after
    sending = mailing(office.transport())
    _, effect = await confirmation(sending)
    assert isinstance(await attempt(sending, effect), CounterpartFailed) is is_its_fault


@pytest.mark.parametrize("login", [False, True])
async def test_a_server_that_is_not_reached_or_knows_nobody_is_at_fault(login: bool) -> None:
    async with post_office() as office:
        url = "smtp://me:wrong@127.0.0.1:{port}?starttls=none" if login else "smtp://127.0.0.1:9?starttls=none"
        sending = mailing(office.transport(url))
        _, effect = await confirmation(sending)
        assert isinstance(await attempt(sending, effect), CounterpartFailed)
