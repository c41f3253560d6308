"""Signatures by which a link that this service has given out is known again.

The key is in the database, so that all workers have the same one and nobody has to set it.
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import Final

from models import SigningKey

_ID: Final = 1


async def signing_key() -> bytes:
    """Return the secret key, 32 random bytes. The first call makes it."""
    row = await SigningKey.get_or_none(id=_ID)
    if row is None:
        new = SigningKey(id=_ID, secret=secrets.token_bytes(32), created_at=datetime.now(UTC))
        await SigningKey.bulk_create([new], ignore_conflicts=True)
        row = await SigningKey.get(id=_ID)  # another process may have been quicker
    return bytes(row.secret)


def signature(key: bytes, text: str) -> str:
    """Return the text's HMAC-SHA-256, in hexadecimal."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def is_signed(key: bytes, text: str, given: str) -> bool:
    """Return whether this is the text's signature. It takes as long for a wrong one as for the right one."""
    return hmac.compare_digest(signature(key, text).encode(), given.encode())
