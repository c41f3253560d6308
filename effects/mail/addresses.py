"""E-mail addresses (RFC 5322), as people write them and as SMTP needs them."""

import re
from email.headerregistry import Address
from typing import Final

import idna

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_MAILBOX: Final = re.compile(r'"?(?P<name>[^"<>]*?)"?\s*<(?P<address>[^<>]*)>')
_LONGEST: Final = 254  # characters: RFC 5321, 4.5.3.1.3


def ascii_address(address: str) -> str:
    """Return the address with its domain in ASCII (IDNA 2008), which every server understands.

    Raise ValueError if it is not an address, if it is quoted, or if it has letters beyond ASCII before the @, because
    many servers cannot send to those.
    """
    local, _, domain = address.rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        domain = ""
    if not domain or not _LOCAL_PART.fullmatch(local) or len(local) + 1 + len(domain) > _LONGEST:
        raise ValueError("this is not an e-mail address that mail can be sent to")
    return f"{local}@{domain}"


def mailbox(text: str) -> Address:
    """Parse `Name <address>`, or an address alone. Raise ValueError."""
    match = _MAILBOX.fullmatch(text.strip())
    name, address = (match["name"], match["address"]) if match else ("", text.strip())
    return to_header(name, ascii_address(address))


def to_header(name: str, address: str) -> Address:
    """Return name and address for a header. The name cannot break out of it, whatever it contains."""
    return Address(display_name=one_line(name), addr_spec=address)


def one_line(text: str) -> str:
    """Return the text without control characters and line breaks of any kind, so that it fits into a header."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", " ", text).split())
