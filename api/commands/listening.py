"""The sockets that a server listens on, bound before it does anything else: so a mistake shows at once."""

import errno
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

PORTS: Final[dict[str, Any]] = {"min": 0, "max": 65535}  # the range of a command's --port
DEFAULT_PORT: Final = 8000

# What binding says if the machine has no network of the address's family, or no such address.
_ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen_at(host: str, port: int, command: str) -> list[socket.socket]:
    """Bind a socket to each address of the host, all with the same port; 0 means any port that is free.

    An empty host means all addresses of this machine. Clients can connect once a process listens on the sockets. Exit
    with a sentence if this machine has none of the addresses, or cannot give the port to the command.
    """
    bound: list[socket.socket] = []
    for family, address in _resolve(host):
        try:
            bound.append(_bind(family, (address[0], port_of(bound) if bound else port, *address[2:])))
        except OSError as error:
            if error.errno not in _ABSENT:
                other = port + 1 if 1024 <= port < PORTS["max"] else DEFAULT_PORT
                sys.exit(f"Port {port} cannot be had ({error.strerror}): try {command} --port {other}.")
    if not bound:
        sys.exit(f"{host} is not an address of this machine: try {command} --host 0.0.0.0.")
    return bound


def port_of(bound: Sequence[socket.socket]) -> int:
    """Return the port that all of these sockets have."""
    port: int = bound[0].getsockname()[1]
    return port


def _resolve(host: str) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        sys.exit(f"There is no host {host}: --host is an address of this machine.")
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bind(family: socket.AddressFamily, address: Any) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
