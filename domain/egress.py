"""Where the server's own HTTP calls may go: to public addresses, and to the exceptions that the operator lists.

URLs of calls come from people with a token. Without this check, a token would be good for reaching whatever the server
reaches: databases, the cloud's metadata, other machines behind the firewall.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MALFORMED: Final = "This is not a valid address."
NOT_WEB: Final = "This must be an address that starts with http:// or https://."
WITH_PASSWORD: Final = "An address must not contain a user or a password."  # noqa: S105 - a message
NO_NAME: Final = "This address has neither a host name such as shop.example.com nor an IP address in its usual form."
NOT_PUBLIC: Final = "This address is not public. The server's operator can allow it with EGRESS_ALLOW."

_NO_EXCEPTION: Final = "an exception is a host, HOST:PORT, an address, or a network such as 10.0.0.0/8"

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_AUTHORITY: Final = re.compile(r"[a-z]+://([^/?#]*)", re.ASCII | re.IGNORECASE)
_HOST_AND_PORT: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(?::([0-9]{1,5})?)?", re.ASCII)
# The last label begins with a letter: otherwise resolvers take the name for a number, such as 127.1 or 0x7f000001.
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LONGEST_NAME: Final = 253

# Names of this machine and of a local network: RFC 6761, RFC 6762, RFC 8375, and ICANN's choice for private use.
_OWN_MACHINE: Final = ("localhost", "localdomain")
_LOCAL: Final = (*_OWN_MACHINE, "local", "internal", "home.arpa")
_LOOPBACK: Final = (IPv4Address("127.0.0.1"), IPv6Address("::1"))

# What IANA's registries of special-purpose addresses have as not globally reachable, and multicast. `is_global` of
# Python's ipaddress knows not all of it, and less in older versions.
_SPECIAL_4: Final = [
    IPv4Network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # the platform of Azure, as its virtual machines see it
    )
]
_GLOBAL_6: Final = IPv6Network("2000::/3")  # all else is private, local, multicast or unassigned
_SPECIAL_6: Final = [
    IPv6Network(each)
    for each in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # Teredo and 6to4 hide IPv4 addresses
]
_NAT64: Final = IPv6Network("64:ff9b::/96")  # an IPv4 address in its last 32 bits


class BadDestination(Exception):
    """A call may not go there. The message is for people, and never repeats the URL: it may hold a password."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a URL leads. An IP address as `host` is in its usual form and without brackets."""

    scheme: str
    host: str
    port: int
    target: str  # path and query

    @property
    def address(self) -> Address | None:
        """The host's address, if the URL names one in place of a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @classmethod
    def of(cls, url: str) -> "Destination":
        """Parse a URL strictly. Raise BadDestination for everything that two parsers may read in two ways."""
        if not url.isprintable() or re.search(r"[\s\\]", url):
            raise BadDestination(MALFORMED)
        authority = _AUTHORITY.match(url)
        if authority is None:
            raise BadDestination(NOT_WEB)
        if "@" in authority[1]:
            raise BadDestination(WITH_PASSWORD)
        parts = _HOST_AND_PORT.fullmatch(authority[1])
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            raise BadDestination(MALFORMED) from None  # the error repeats parts of the URL
        if parsed.scheme not in DEFAULT_PORTS:
            raise BadDestination(NOT_WEB)
        port = DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port
        if parts is None or not 0 < port < 65536:
            raise BadDestination(MALFORMED)
        return cls(parsed.scheme, _checked_host(parsed.raw_host.decode("ascii")), port, parsed.raw_path.decode("ascii"))


def callable_url(url: str) -> str:
    """Return the URL if a call can be made to it. Raise ValueError, which does not repeat the URL."""
    try:
        Destination.of(url)
    except BadDestination as error:
        raise ValueError(str(error)) from None
    return url


def without_user(url: str | None) -> str | None:
    """Return the URL without user and password, which older versions of this server have taken."""
    return None if url is None else re.sub(r"(?<=://)[^/?#]*@", "", url, count=1)


def is_public(address: Address) -> bool:
    address = _embedded(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)


@dataclass(frozen=True, slots=True)
class Egress:
    """Lets calls go to public addresses and to these exceptions: names and networks, each with a port or with all."""

    names: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[tuple[Network, int | None], ...] = ()

    @classmethod
    def allowing(cls, exceptions: Iterable[str]) -> "Egress":
        """Take exceptions as `host`, `host:port`, `address`, `address:port`, `[address]:port` or `network/length`.

        Raise ValueError for anything else.
        """
        names: list[tuple[str, int | None]] = []
        networks: list[tuple[Network, int | None]] = []
        for each in exceptions:
            exception = _network(each) or _host_and_port(each)
            if isinstance(exception[0], str):
                names.append((exception[0], exception[1]))
            else:
                networks.append((exception[0], exception[1]))
        return cls(frozenset(names), tuple(networks))

    def including(self, *urls: str) -> "Egress":
        """Return the same with the hosts of these URLs, at their ports: those of the operator's own settings."""
        more = Egress.allowing(
            f"[{d.host}]:{d.port}" if ":" in d.host else f"{d.host}:{d.port}" for d in map(Destination.of, urls)
        )
        return Egress(self.names | more.names, self.networks + more.networks)

    def check(self, url: str) -> Destination:
        """Return where the URL leads. Raise BadDestination if it is malformed, or if it is plain that it is not public.

        A name may still lead to an address that is not: `permits` has the last word, for each address.
        """
        destination = Destination.of(url)
        if not self._may_lead_out(destination):
            raise BadDestination(NOT_PUBLIC)
        return destination

    def permits(self, host: str, port: int, address: Address) -> bool:
        """Return whether a connection to this address may be opened for a URL with this host and port."""
        if is_public(address) or self._names(host, port):
            return True
        forms = {address, _embedded(address)}
        return any(form in network for form in forms for network in self._networks_at(port))

    def _may_lead_out(self, destination: Destination) -> bool:
        host, port = destination.host, destination.port
        if destination.address is not None:
            return self.permits(host, port, destination.address)
        if self._names(host, port):
            return True
        if _ends_with(host, _OWN_MACHINE):
            return any(self.permits(host, port, each) for each in _LOOPBACK)
        is_local = "." not in host or _ends_with(host, _LOCAL)
        return not is_local or bool(self._networks_at(port))

    def _names(self, host: str, port: int) -> bool:
        return (host, port) in self.names or (host, None) in self.names

    def _networks_at(self, port: int) -> list[Network]:
        return [network for network, only in self.networks if only in (None, port)]


PUBLIC_ONLY: Final = Egress()


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _ends_with(host: str, domains: Iterable[str]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def _checked_host(host: str) -> str:
    """Return a name, or an IP address in its usual form. Raise BadDestination for anything else."""
    try:
        if "%" not in host:  # which would be a zone of a link-local address
            return str(ip_address(host))
    except ValueError:
        if len(host) <= _LONGEST_NAME and _NAME.fullmatch(host):
            return host
    raise BadDestination(NO_NAME)


def _network(text: str) -> tuple[Network, None] | None:
    """Return the network or the address that the text names; None if it is something else."""
    try:
        return ip_network(text.removeprefix("[").removesuffix("]")), None
    except ValueError:
        if "/" in text:
            raise ValueError(_NO_EXCEPTION) from None
        return None


def _host_and_port(text: str) -> tuple[str | Network, int | None]:
    try:
        destination = Destination.of(f"http://{text}")
    except BadDestination:
        raise ValueError(_NO_EXCEPTION) from None
    if destination.target != "/":
        raise ValueError(_NO_EXCEPTION)
    port = destination.port if re.search(r":\d+$", text) else None
    return destination.host if destination.address is None else ip_network(destination.host), port
