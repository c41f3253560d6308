"""A parcel has left."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from effects.mail.email import DownloadLink, Email
from effects.mail.letter import Letter, Parcel
from effects.mail.occasion import Occasion
from models import Tracking
from models.enums import EmailKind, OrderEventType, OrderSource


class ShippingConfirmation(Email):
    kind = EmailKind.SHIPPING_CONFIRMATION
    events = (OrderEventType.ORDER_SHIPPED, OrderEventType.FULFILLMENT_SHIPPED)

    async def is_due(self, occasion: Occasion) -> bool:
        """Return whether goods are on their way. What is bought at a till goes home with the customer."""
        if (await occasion.order()).source is OrderSource.POS:
            return False
        return any(line.requires_shipping for line in await occasion.moved_lines())

    async def details(self, occasion: Occasion, download_link: DownloadLink) -> Mapping[str, Any]:
        """Return what is in the parcel, and its tracking numbers."""
        event = occasion.event
        lines = [line for line in await occasion.moved_lines() if line.requires_shipping]
        tracking = await Tracking.filter(fulfillment_id=event.data["fulfillmentId"]).order_by("created_at", "id")
        return {
            "items": occasion.moved_items(lines),
            "in_parts": event.type is OrderEventType.FULFILLMENT_SHIPPED,
            "parcels": tuple(Parcel(each.number, each.carrier, each.url) for each in tracking),
        }

    def text_prefix(self, letter: Letter) -> str:
        return "shipped_in_parts" if letter.in_parts else "shipping_confirmation"

    def samples(self, order: Letter) -> Mapping[str, Letter]:
        post = Parcel(
            "99.00.123456.12345678",
            "Die Schweizerische Post",
            "https://service.post.ch/ekp-web/ui/entry/search/990012345612345678",
        )
        whole = replace(order, kind=self.kind, items=order.items[:3], parcels=(post,))
        parcels = (post, Parcel("1Z999AA10123456784", "UPS", None))
        part = replace(whole, items=order.items[:1], parcels=parcels, in_parts=True)
        return {"shipping_confirmation": whole, "shipped_in_parts": part}


EMAIL = ShippingConfirmation()
