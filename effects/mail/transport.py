"""The transport of e-mail, by its URL."""

from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from effects.mail.delivery import Transport
from effects.mail.eml import FolderTransport
from effects.mail.smtp import Server, SmtpTransport, Starttls
from models.engine.file_urls import path_from

_PORTS: Final = {"smtp": 587, "smtps": 465}  # for submission: RFC 6409 and RFC 8314
_EXPECTED: Final = "A mail server is smtp://USER:PASSWORD@HOST:PORT or smtps://…, a folder for mail is file:///FOLDER"


def transport_of(url: str) -> Transport:
    """Return the transport of `smtp://[user:password@]host[:port][?starttls=required|none]`, `smtps://…` (TLS at once)
    or `file:///folder`.

    By default the connection is encrypted if the server offers STARTTLS, and must be if there is a login. Certificates
    are checked. Raise ValueError, one sentence without the URL, which may contain a password.
    """
    parts = _parts(url)
    if parts.scheme == "file":
        return FolderTransport(_folder(parts))
    return SmtpTransport(server_of(url))


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(f"{_EXPECTED}.") from None


def _folder(parts: SplitResult) -> Path:
    if parts.query or parts.fragment:
        raise ValueError(f"{_EXPECTED}; signs such as ? and # in its path are written as in URLs (%3F, %23).")
    if parts.netloc not in ("", "localhost") or parts.path in ("", "/"):
        raise ValueError(f"{_EXPECTED}, with three slashes.")
    return Path(path_from(parts.path))


def server_of(url: str) -> Server:
    """Return the mail server of such a URL. Raise ValueError."""
    parts = _parts(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        raise ValueError(f"{_EXPECTED}; signs such as / in a password are written as in URLs (%2F).")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("A mail server's URL has a user and a password, or neither.")
    return Server(
        host=parts.hostname,
        port=_port(parts),
        user=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password) if parts.password is not None else None,
        tls=parts.scheme == "smtps",
        starttls=_starttls(parts),
    )


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise ValueError("The port in a mail server's URL is a number from 1 to 65535.") from None


def _starttls(parts: SplitResult) -> Starttls:
    if parts.scheme == "smtps":
        if parts.query:
            raise ValueError("A mail server's URL that starts with smtps:// has nothing behind a question mark.")
        return "none"
    match parse_qs(parts.query, keep_blank_values=True):
        case {"starttls": ["required"], **others} if not others:
            return "required"
        case {"starttls": ["none"], **others} if not others:
            return "none"
        case {**others} if not others:
            return "offered" if parts.username is None else "required"
    raise ValueError("Behind the question mark of a mail server's URL is starttls=required, starttls=none or nothing.")
