"""An OpenID Connect issuer for the tests: it publishes keys, signs what it is told to, and can be down."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE: Final = "https://orders.example"


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Made once: it takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def new_key(algorithm: str) -> Any:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa_key()


def published(kid: str, algorithm: str, private: Any, **more: Any) -> dict[str, Any]:
    """The public half as a JWK (RFC 7517)."""
    half: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    return {**half, "kid": kid, "alg": algorithm, "use": "sig", **more}


@dataclass
class LocalIssuer:
    """`keys` are those with which it signs; `asked` are the paths that it was asked for, in turns.

    While it is `down`, it cuts each connection. `document` and `jwks` are what it publishes, where that is not as it
    should be.
    """

    url: str = ""
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    more_keys: list[Any] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def add(self, kid: str, algorithm: str = "ES256") -> None:
        self.keys[kid] = (algorithm, new_key(algorithm))

    def claims(self, **given: Any) -> dict[str, Any]:
        """Those of a person's token that is good for five minutes; `None` leaves one out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "name": "Ada", "iat": now, "exp": now + 300}
        claims = {**usual, "scope": "openid orders:read orders:write orders:place", **given}
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, claims: dict[str, Any], kid: str = "es", headers: dict[str, Any] | None = None) -> str:
        algorithm, private = self.keys[kid]
        return jwt.encode(claims, private, algorithm, {"kid": kid, **(headers or {})})

    def token(self, kid: str = "es", headers: dict[str, Any] | None = None, **given: Any) -> str:
        """One of a person, with these claims instead of the usual."""
        return self.signed(self.claims(**given), kid, headers)

    def _answer(self, path: str) -> Any:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **self.document}
        return {"keys": [*(published(kid, *key) for kid, key in self.keys.items()), *self.more_keys]}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split()[1].decode())
        if not self.down:
            body = json.dumps(self._answer(self.asked[-1])).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def local_issuer() -> AsyncIterator[LocalIssuer]:
    """One with a key of each kind: `rs`, `es` and `ed`."""
    issuer = LocalIssuer()
    for kid, algorithm in (("rs", "RS256"), ("es", "ES256"), ("ed", "EdDSA")):
        issuer.add(kid, algorithm)
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    async with server:
        issuer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield issuer
