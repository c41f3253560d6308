"""People who log in elsewhere, and come with what their issuer says of them."""

import base64
import hashlib
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Final

from domain.actors import Actor, Scope
from domain.channels import find_channels
from domain.validation import storable
from models.enums import ActorKind

_LONGEST_NAME: Final = 255


async def person(
    *,
    issuer: str,
    subject: str,
    name: str,
    scopes: Collection[Scope],
    channels: Collection[str] | None,
    good_until: datetime,
) -> Actor:
    """Return the caller whom the issuer knows as `subject`, always with the same id. It ends at `good_until`.

    `channels` are the codes of the only channels that exist for them; codes of none are passed over, and `None` means
    every channel.
    """
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode(errors="surrogatepass")).digest()
    whole = Actor(
        kind=ActorKind.PERSON,
        id=f"person-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}",
        name="".join(each for each in name if storable(each, 1)).strip()[:_LONGEST_NAME] or "somebody",
        scopes=frozenset(scopes),
        good_until=good_until,
    )
    if channels is None:
        return whole
    return replace(whole, channel_ids=frozenset(channel.id for channel in await find_channels(whole, channels)))
