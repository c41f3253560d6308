"""The order has come in."""

from collections.abc import Sequence

from effects.mail.email import Email
from effects.mail.letter import Letter
from effects.mail.occasion import Occasion
from effects.merchant.texts import Texts
from models.enums import EmailKind, OrderEventType, OrderSource


class OrderConfirmation(Email):
    kind = EmailKind.ORDER_CONFIRMATION
    events = (OrderEventType.ORDER_PLACED,)

    async def is_due(self, occasion: Occasion) -> bool:
        """Return whether it was ordered elsewhere than at a till, whose customers get a receipt."""
        return (await occasion.order()).source is not OrderSource.POS

    def paragraphs(self, letter: Letter, texts: Texts) -> Sequence[str]:
        return [texts["order_confirmation_next"]] if letter.needs_shipping else []


EMAIL = OrderConfirmation()
