"""The event that an e-mail follows from, and the order that the event is about."""

from collections.abc import Sequence
from uuid import UUID

from effects.mail.letter import Item
from effects.mail.settings import MailSettings
from models import Order, OrderEvent, OrderLine


class Occasion:
    """An event, and what e-mails say about its order. Each row is read when it is first needed, and once."""

    def __init__(self, event: OrderEvent, settings: MailSettings) -> None:
        self.event = event
        self.settings = settings
        self._order: Order | None = None
        self._lines: Sequence[OrderLine] | None = None

    async def order(self) -> Order:
        """Return the order with its customer and its channel."""
        if self._order is None:
            self._order = await Order.get(id=self.event.order_id).select_related("customer", "channel")
        return self._order

    async def lines(self) -> Sequence[OrderLine]:
        """Return all lines of the order, by their position."""
        if self._lines is None:
            self._lines = await OrderLine.filter(order_id=self.event.order_id).order_by("position")
        return self._lines

    async def moved_lines(self) -> list[OrderLine]:
        """Return the lines whose units the event is about, such as those of a parcel, by their position."""
        ids = {UUID(each["lineId"]) for each in self.event.data["lines"]}
        return [line for line in await self.lines() if line.id in ids]

    async def items(self) -> tuple[Item, ...]:
        """Return all that was ordered."""
        return tuple(_item(line, line.quantity) for line in await self.lines())

    def moved_items(self, lines: Sequence[OrderLine]) -> tuple[Item, ...]:
        """Return these lines with as many units as the event is about."""
        quantities = {UUID(each["lineId"]): each["quantity"] for each in self.event.data["lines"]}
        return tuple(_item(line, quantities[line.id]) for line in lines)


def is_download(line: OrderLine) -> bool:
    return not line.requires_shipping and line.download_url is not None


def _item(line: OrderLine, quantity: int) -> Item:
    return Item(
        title=line.title,
        variant_title=line.variant_title,
        sku=line.sku,
        quantity=quantity,
        unit_price=line.unit_price,
        discount=line.discount_total,
        total=line.total,
    )
