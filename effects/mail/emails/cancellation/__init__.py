"""The order was cancelled."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from effects.mail.email import Email
from effects.mail.letter import Letter
from effects.merchant.texts import Texts
from models.enums import CancelReason, EmailKind, OrderEventType

# The other reasons are the merchant's business.
_REASONS_TO_TELL: Final = (CancelReason.CUSTOMER, CancelReason.INVENTORY, CancelReason.DECLINED)


class Cancellation(Email):
    kind = EmailKind.CANCELLATION
    events = (OrderEventType.ORDER_CANCELLED,)

    def paragraphs(self, letter: Letter, texts: Texts) -> Sequence[str]:
        tells = letter.reason in _REASONS_TO_TELL
        reason = [texts[f"cancellation_reason_{str(letter.reason).lower()}"]] if tells else []
        return [*reason, *([] if letter.sums.paid else [texts["cancellation_nothing_paid"]])]

    def samples(self, order: Letter) -> Mapping[str, Letter]:
        sums = replace(order.sums, paid=0)
        return {"cancellation": replace(order, kind=self.kind, sums=sums, reason=CancelReason.INVENTORY)}


EMAIL = Cancellation()
