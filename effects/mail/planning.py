"""Which e-mails an event is to bring about, and to whom."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from effects.effect import Planned
from effects.mail.settings import MailSettings
from models import Fulfillment, Order, OrderEvent, OrderLine
from models.enums import EmailKind, OrderEventType, OrderSource

_SHIPMENTS: Final = (OrderEventType.ORDER_SHIPPED, OrderEventType.FULFILLMENT_SHIPPED)
_TO_CUSTOMER: Final = {
    OrderEventType.ORDER_CANCELLED: EmailKind.CANCELLATION,
    OrderEventType.PAYMENT_REFUNDED: EmailKind.REFUND,
}


async def plan(event: OrderEvent, settings: MailSettings) -> Sequence[Planned]:
    """A customer without an address gets none; the merchant hears of each order that is placed."""
    if event.type is OrderEventType.ORDER_PLACED:
        notices = settings.sender(event.data["channel"]).notices
        return [*await _to_customer(event), *(Planned(EmailKind.NEW_ORDER, address) for address in notices)]
    if event.type is OrderEventType.FULFILLMENT_REQUESTED:
        return await _to_service(event)
    if event.type in _SHIPMENTS or event.type in _TO_CUSTOMER:
        return await _to_customer(event)
    return ()


async def _to_service(event: OrderEvent) -> list[Planned]:
    """One that has a URL is asked there."""
    fulfillment = await Fulfillment.get(id=event.data["fulfillmentId"]).select_related("service")
    service = fulfillment.service
    return [] if service.url or not service.email else [Planned(EmailKind.FULFILLMENT_REQUEST, service.email)]


async def _to_customer(event: OrderEvent) -> list[Planned]:
    order = await Order.get(id=event.order_id).select_related("customer")
    address = order.customer and order.customer.email
    return [Planned(kind, address) for kind in await _kinds(event, order)] if address else []


async def _kinds(event: OrderEvent, order: Order) -> list[EmailKind]:
    at_till = order.source is OrderSource.POS
    if event.type is OrderEventType.ORDER_PLACED:
        return [EmailKind.POS_RECEIPT if at_till else EmailKind.ORDER_CONFIRMATION]
    if event.type in _TO_CUSTOMER:
        return [_TO_CUSTOMER[event.type]]
    lines = await shipped_lines(event)
    kinds = []
    if any(line.requires_shipping for line in lines) and not at_till:
        kinds.append(EmailKind.SHIPPING_CONFIRMATION)
    if any(is_download(line) for line in lines):
        kinds.append(EmailKind.DOWNLOADS)
    return kinds


async def shipped_lines(event: OrderEvent) -> list[OrderLine]:
    """The lines of which units have left with this event, in the order's own order."""
    ids = [UUID(each["lineId"]) for each in event.data["lines"]]
    return await OrderLine.filter(id__in=ids).order_by("position")


def is_download(line: OrderLine) -> bool:
    return not line.requires_shipping and line.download_url is not None
