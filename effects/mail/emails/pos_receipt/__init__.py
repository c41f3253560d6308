"""The receipt of a purchase at a point of sale."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from effects.mail.email import DownloadLink, Email
from effects.mail.letter import Letter, Payment
from effects.mail.occasion import Occasion
from models import Transaction
from models.enums import EmailKind, OrderEventType, OrderSource, TransactionKind, TransactionStatus


class PosReceipt(Email):
    kind = EmailKind.POS_RECEIPT
    events = (OrderEventType.ORDER_PLACED,)

    async def is_due(self, occasion: Occasion) -> bool:
        return (await occasion.order()).source is OrderSource.POS

    async def details(self, occasion: Occasion, download_link: DownloadLink) -> Mapping[str, Any]:
        """Return all that was ordered, and how it was paid."""
        taken = Transaction.filter(
            order_id=occasion.event.order_id,
            status=TransactionStatus.SUCCEEDED,
            kind__in=(TransactionKind.SALE, TransactionKind.CAPTURE),
        )
        payments = [Payment(each.gateway, each.amount) for each in await taken.order_by("processed_at", "id")]
        return {"items": await occasion.items(), "payments": tuple(payments)}

    def samples(self, order: Letter) -> Mapping[str, Letter]:
        receipt = replace(
            order,
            kind=self.kind,
            channel="Ladengeschäft",
            order_number=order.own_number,
            sums=replace(order.sums, paid=30000, outstanding=4880),
            payments=(Payment("cash", 10000), Payment("card", 20000)),
        )
        return {"pos_receipt": receipt}


EMAIL = PosReceipt()
