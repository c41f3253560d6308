"""E-mail addresses (RFC 5322), as people write them and as SMTP has them."""

import re
from email.headerregistry import Address
from typing import Final

import idna

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_MAILBOX: Final = re.compile(r'"?(?P<name>[^"<>]*?)"?\s*<(?P<address>[^<>]*)>')
_LONGEST: Final = 254  # characters: RFC 5321, 4.5.3.1.3


def ascii_address(address: str) -> str:
    """The address with its domain in ASCII (IDNA 2008), which every server understands.

    Raises `ValueError` for what is no address, for quoted ones, and for letters beyond ASCII before the @: many servers
    know no way of sending to those.
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
    """`Name <address>`, or an address alone. Raises `ValueError`."""
    match = _MAILBOX.fullmatch(text.strip())
    name, address = (match["name"], match["address"]) if match else ("", text.strip())
    return named(name, ascii_address(address))


def named(name: str, address: str) -> Address:
    """Whose address it is, for a header: whatever the name has in it, it is no more than a name there."""
    return Address(display_name=one_line(name), addr_spec=address)


def one_line(text: str) -> str:
    """The text as a header may have it: without control characters and ends of lines of any kind."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", " ", text).split())
