"""Tells the merchant that an order has come in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from effects.mail.email import Email
from effects.mail.letter import Letter
from effects.mail.occasion import Occasion
from models.enums import EmailKind, OrderEventType


class NewOrder(Email):
    kind = EmailKind.NEW_ORDER
    events = (OrderEventType.ORDER_PLACED,)
    to_customer = False

    async def recipients(self, occasion: Occasion) -> Sequence[str]:
        """Return the addresses that the merchant has set for the order's channel."""
        return occasion.settings.sender(occasion.event.data["channel"]).notices

    def samples(self, order: Letter) -> Mapping[str, Letter]:
        note = "Bitte als Geschenk verpacken.\nDie Rechnung bitte nicht beilegen."
        return {"new_order": replace(order, kind=self.kind, note=note)}


EMAIL = NewOrder()
