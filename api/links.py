"""Links that open a document without a token, for a while."""

import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from domain.signing import is_signed, signature, signing_key

DELIVERY_NOTE_PATH: Final = "/delivery-notes/{id}.pdf"
DELIVERY_NOTES_PATH: Final = "/delivery-notes.pdf"
DOWNLOAD_PATH: Final = "/downloads/{id}"
DOWNLOAD_SECONDS: Final = 7 * 24 * 3600  # for which a customer can use the link in an e-mail


class Links:
    """Makes links that expire after so many seconds, and knows its own again.

    They begin with `public_url`; without one they are relative to the server's root.
    """

    def __init__(self, public_url: str | None, seconds: int) -> None:
        self._base = (public_url or "").rstrip("/")
        self._seconds = seconds
        self._key: bytes | None = None

    async def delivery_note(self, note_id: UUID) -> str:
        """Return a link to one delivery note."""
        return await self._sign(DELIVERY_NOTE_PATH.format(id=note_id), {})

    async def delivery_notes(self, note_ids: Sequence[UUID]) -> str:
        """Return a link to these notes as one file, in this order."""
        return await self._sign(DELIVERY_NOTES_PATH, {"ids": ",".join(each.hex for each in note_ids)})

    async def download(self, line_id: UUID) -> str:
        """Return a link to the digital product of an order's line. It is good for `DOWNLOAD_SECONDS`."""
        return await self._sign(DOWNLOAD_PATH.format(id=line_id), {}, DOWNLOAD_SECONDS)

    async def _sign(self, path: str, parameters: dict[str, str], seconds: int | None = None) -> str:
        given = {**parameters, "expires": str(int(time.time()) + (seconds or self._seconds))}
        signed = signature(await self._secret(), _text(path, given))
        return f"{self._base}{path}?{urlencode({**given, 'signature': signed}, safe=',')}"

    async def opens(self, path: str, parameters: dict[str, str]) -> bool:
        """Return whether this is such a link, and still good."""
        given = {name: value for name, value in parameters.items() if name != "signature"}
        expires = given.get("expires", "")
        return (
            is_signed(await self._secret(), _text(path, given), parameters.get("signature", ""))
            and int(expires) >= time.time()
        )

    async def _secret(self) -> bytes:
        if self._key is None:
            self._key = await signing_key()
        return self._key


def _text(path: str, parameters: dict[str, str]) -> str:
    """Return the text that is signed. The encoding keeps one parameter from reading like two."""
    return f"{path}?{urlencode(sorted(parameters.items()))}"
