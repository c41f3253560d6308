"""Money was given back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from domain.money import to_minor
from effects.mail.email import DownloadLink, Email
from effects.mail.letter import Letter
from effects.mail.occasion import Occasion
from effects.merchant.texts import Texts
from models.enums import EmailKind, OrderEventType


class Refund(Email):
    kind = EmailKind.REFUND
    events = (OrderEventType.PAYMENT_REFUNDED,)

    async def details(self, occasion: Occasion, download_link: DownloadLink) -> Mapping[str, Any]:
        """Return how much."""
        money = occasion.event.data["amount"]
        return {"amount": to_minor(Decimal(money["amount"]), money["currencyCode"])}

    def paragraphs(self, letter: Letter, texts: Texts) -> Sequence[str]:
        return [texts["refund_next"]]

    def samples(self, order: Letter) -> Mapping[str, Letter]:
        return {"refund": replace(order, kind=self.kind, amount=4900)}


EMAIL = Refund()
