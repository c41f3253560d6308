"""Mail URLs, addresses, and files."""

import asyncio
from pathlib import Path

import pytest

from effects.mail.addresses import ascii_address, mailbox
from effects.mail.delivery import Mail, ServerFailed
from effects.mail.eml import FolderTransport
from effects.mail.smtp import Server, SmtpTransport
from effects.mail.transport import server_of, transport_of
from models.engine.file_urls import file_url
from tests.effects.mail.post import parsed


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", Server("mail.example", 587)),
        ("smtp://mail.example:25/", Server("mail.example", 25)),
        ("smtp://[::1]:25", Server("::1", 25)),
        ("smtp://me:p%40ss@mail.example", Server("mail.example", 587, "me", "p@ss", starttls="required")),
        ("smtp://me:p@mail.example?starttls=none", Server("mail.example", 587, "me", "p", starttls="none")),
        ("smtp://mail.example?starttls=required", Server("mail.example", 587, starttls="required")),
        ("smtps://me%40x.example:p@mail.example", Server("mail.example", 465, "me@x.example", "p", True, "none")),
    ],
)
def test_mail_servers(url: str, server: Server) -> None:
    assert server_of(url) == server


async def test_a_server_that_says_nothing_is_not_waited_for_as_long_as_one_that_takes_a_message() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    ended = asyncio.Event()
    mail = Mail("shop@example.com", "ada@example.com", "<x@example.com>", b"x", "x")
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent, asyncio.timeout(20):
        server = Server("127.0.0.1", silent.sockets[0].getsockname()[1])
        with pytest.raises(ServerFailed):
            async with SmtpTransport(server, connect_seconds=0.1).prepare(mail):
                pass
        await ended.wait()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "A mail server is smtp://USER:PASSWORD@HOST:PORT or smtps://…, a folder for mail is file:///FOLDER"),
        ("http://mail.example", "A mail server is smtp://"),
        ("smtp://", "A mail server is smtp://"),
        ("smtp://me:secret/x@mail.example", "A mail server is smtp://"),
        ("smtp://me:secret#x@mail.example", "A mail server is smtp://"),
        ("smtp://me@mail.example", "has a user and a password, or neither"),
        ("smtp://me:secret@mail.example:99999", "is a number from 1 to 65535"),
        ("smtp://me:secret@mail.example:x", "is a number from 1 to 65535"),
        ("smtp://me:secret@mail.example?starttls=maybe", "is starttls=required, starttls=none or nothing"),
        ("smtp://me:secret@mail.example?tls=1", "is starttls=required, starttls=none or nothing"),
        ("smtp://me:secret@mail.example?starttls=none&x=1", "is starttls=required, starttls=none or nothing"),
        ("smtps://me:secret@mail.example?starttls=none", "nothing behind a question mark"),
        ("smtp://[me:secret@mail.example", "A mail server is smtp://"),
        ("file://folder", "with three slashes"),
        ("file:///", "with three slashes"),
        ("file:///srv/C#/mail", "written as in URLs (%3F, %23)"),
        ("file:///srv/a?b/mail", "written as in URLs (%3F, %23)"),
    ],
)
def test_what_is_no_mail_url(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"\.$") as raised:
        transport_of(url)
    assert complaint in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "ascii"),
    [
        ("a.b+c@example.com", "a.b+c@example.com"),
        ("a@MÜLLER.ch", "a@xn--mller-kva.ch"),
        ("a@straße.de", "a@xn--strae-oqa.de"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_addresses(address: str, ascii: str) -> None:
    assert ascii_address(address) == ascii


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@example.com",
        "a@",
        "a b@example.com",
        "a@b@example.com",
        "jürg@example.com",
        '"a"@example.com',
        "a@ex ample.com",
        "a@example..com",
        "a@[127.0.0.1]",
        "a@example.com\r\nBcc: x@example.com",
        "a@example.com\n",
        f"{'a' * 250}@example.com",
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="this is not an e-mail address"):
        ascii_address(address)


def test_mailboxes() -> None:
    assert (mailbox("Alpenfaden <a@b.ch>").display_name, mailbox("Alpenfaden <a@b.ch>").addr_spec) == (
        "Alpenfaden",
        "a@b.ch",
    )
    assert str(mailbox('"Faden, Knopf & Co." <a@b.ch>')) == '"Faden, Knopf & Co." <a@b.ch>'
    assert str(mailbox("a@müller.ch")) == "a@xn--mller-kva.ch"


def mail(name: str, message_id: str = "<1@x>") -> Mail:
    return Mail("a@b.ch", "c@d.ch", message_id, f"Message-ID: {message_id}\r\n\r\nx\r\n".encode(), name)


async def handed_over(transport: FolderTransport, mail: Mail) -> None:
    async with transport.prepare(mail) as hand_over:
        await hand_over()


async def test_files(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    transport = transport_of(file_url("file", folder))
    assert isinstance(transport, FolderTransport)
    for message in (mail("a"), mail("a"), mail("a", "<2@x>"), mail("a", "<2@x>"), mail("../Ü/\x00 x")):
        await handed_over(transport, message)
    assert sorted(path.name for path in folder.iterdir()) == ["_x.eml", "a-2.eml", "a.eml"]
    assert parsed((folder / "a-2.eml").read_bytes())["Message-ID"] == "<2@x>"


def test_a_folder_with_a_space() -> None:
    transport = transport_of("file:///var/spool/my%20mail")
    assert isinstance(transport, FolderTransport)
    assert transport.folder == Path("/var/spool/my mail")


async def test_a_folder_in_trouble_counts_as_failing(tmp_path: Path) -> None:
    """So that it is shown: every other message fails, too."""
    (tmp_path / "mail").touch()
    with pytest.raises(ServerFailed):
        await handed_over(FolderTransport(tmp_path / "mail"), mail("a"))
