"""Links to digital products."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from effects.mail.email import DownloadLink, Email
from effects.mail.letter import Download, Letter
from effects.mail.occasion import Occasion, is_download
from effects.merchant.texts import Texts
from models import OrderLine
from models.enums import EmailKind, OrderEventType

_WEB: Final = ("https://", "http://")  # what a link begins with that works in an e-mail


class Downloads(Email):
    kind = EmailKind.DOWNLOADS
    events = (OrderEventType.ORDER_SHIPPED, OrderEventType.FULFILLMENT_SHIPPED)

    async def is_due(self, occasion: Occasion) -> bool:
        return any(is_download(line) for line in await occasion.moved_lines())

    async def details(self, occasion: Occasion, download_link: DownloadLink) -> Mapping[str, Any]:
        """Return the links. Raise ValueError if they do not work in an e-mail."""
        lines = [line for line in await occasion.moved_lines() if is_download(line)]
        found = [Download(_title(line), await download_link(line.id)) for line in lines]
        if not all(each.url.startswith(_WEB) for each in found):
            raise ValueError("a link in an e-mail begins with http:// or https://: the server's public URL is not set")
        return {"downloads": tuple(found)}

    def paragraphs(self, letter: Letter, texts: Texts) -> Sequence[str]:
        return [texts["downloads_next"]]

    def samples(self, order: Letter) -> Mapping[str, Letter]:
        link = Download("Strickmuster als PDF", "https://shop.example/downloads/4f1c?expires=1&signature=2")
        return {"downloads": replace(order, kind=self.kind, downloads=(link,))}


def _title(line: OrderLine) -> str:
    return f"{line.title}, {line.variant_title}" if line.variant_title else line.title


EMAIL = Downloads()
