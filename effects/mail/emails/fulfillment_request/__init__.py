"""Asks a fulfillment service to ship. One that has a URL is asked there, and gets no e-mail."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from domain.global_ids import global_id
from effects.mail.email import DownloadLink, Email
from effects.mail.letter import Letter
from effects.mail.occasion import Occasion
from effects.merchant.formats import Formats
from models import Fulfillment
from models.enums import EmailKind, OrderEventType


class FulfillmentRequest(Email):
    kind = EmailKind.FULFILLMENT_REQUEST
    events = (OrderEventType.FULFILLMENT_REQUESTED,)
    to_customer = False

    async def recipients(self, occasion: Occasion) -> Sequence[str]:
        fulfillment = await Fulfillment.get(id=occasion.event.data["fulfillmentId"]).select_related("service")
        service = fulfillment.service
        return [] if service.url or not service.email else [service.email]

    async def details(self, occasion: Occasion, download_link: DownloadLink) -> Mapping[str, Any]:
        """Return what it is asked to ship, and the id by which it answers."""
        return {
            "items": occasion.moved_items(await occasion.moved_lines()),
            "request": global_id("Fulfillment", UUID(occasion.event.data["fulfillmentId"])),
        }

    def facts(self, letter: Letter, formats: Formats) -> Sequence[tuple[str, str | None]]:
        return (("order_number", letter.own_number), ("fulfillment", letter.request))

    def samples(self, order: Letter) -> Mapping[str, Letter]:
        request = "RnVsZmlsbG1lbnQ6MDFhMjBkNjYtOWM2OS03N2Vl"
        return {"fulfillment_request": replace(order, kind=self.kind, request=request)}


EMAIL = FulfillmentRequest()
