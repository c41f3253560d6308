"""Where the units of a locked order are (free, in an open fulfillment, or gone), and moving them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from domain import rules
from domain.change import UnitOfWork
from domain.errors import InvalidInput, NotFound
from domain.events import FulfillmentOpened, FulfillmentShipped, OrderShipped, Units
from domain.validation import quantity
from models import Fulfillment, FulfillmentLine, Order, OrderLine
from models.engine.fields import new_key
from models.engine.rows import load_where
from models.engine.statements import insert, update_all, write
from models.enums import FulfillmentState, FulfillmentStatus, OrderStatus

_OF_ORDER: Final = 'WHERE "fulfillment_id" IN (SELECT "id" FROM "fulfillments" WHERE "order_id" = ?)'


@dataclass(frozen=True, slots=True)
class LineQuantity:
    """Units of a line, as a caller names them."""

    line_id: UUID
    quantity: int


class Packing:
    """The lines and fulfillments of an order that is locked. Call `write` once, when all units are in place."""

    def __init__(
        self,
        work: UnitOfWork,
        order: Order,
        lines: list[OrderLine],
        fulfillments: list[Fulfillment],
        contents: dict[UUID, dict[UUID, int]],
    ) -> None:
        self._work = work
        self._order = order
        self._lines = {line.id: line for line in lines}
        self.fulfillments = fulfillments
        self._contents = contents
        self._opened: list[Fulfillment] = []
        self._repacked: list[Fulfillment] = []
        self._shipped: list[Fulfillment] = []
        self._cancelled: list[Fulfillment] = []
        self._moved: dict[UUID, OrderLine] = {}

    @classmethod
    async def open(cls, work: UnitOfWork, order: Order) -> "Packing":
        order_id = str(order.id)
        lines = await load_where(OrderLine, 'WHERE "order_id" = ? ORDER BY "position"', order_id)
        fulfillments = await load_where(Fulfillment, 'WHERE "order_id" = ? ORDER BY "position"', order_id)
        contents: dict[UUID, dict[UUID, int]] = {fulfillment.id: {} for fulfillment in fulfillments}
        if fulfillments:
            for row in await load_where(FulfillmentLine, _OF_ORDER, order_id):
                contents[row.fulfillment_id][row.order_line_id] = row.quantity
        return cls(work, order, lines, fulfillments, contents)

    @property
    def lines(self) -> Iterable[OrderLine]:
        """Return the order's lines, by position."""
        return self._lines.values()

    def in_state(self, *states: FulfillmentState) -> list[Fulfillment]:
        return [fulfillment for fulfillment in self.fulfillments if fulfillment.state in states]

    def find(self, fulfillment_id: UUID) -> Fulfillment:
        """Return the fulfillment. Raise `NotFound` if the order lacks it, or it is not the calling service's."""
        for fulfillment in self.fulfillments:
            if fulfillment.id == fulfillment_id and self._work.actor.service_id in (None, fulfillment.service_id):
                return fulfillment
        raise NotFound("The order has no such fulfillment.", "fulfillment_id")

    def free_units(self) -> dict[UUID, int]:
        return {line.id: line.fulfillable_quantity for line in self._lines.values() if line.fulfillable_quantity}

    def units_in(self, fulfillment: Fulfillment) -> tuple[Units, ...]:
        return tuple(Units(line, count) for line, count in self._contents[fulfillment.id].items())

    def read(self, lines: Sequence[LineQuantity]) -> dict[UUID, int]:
        """Return the named units by line. Whether so many are left is not checked.

        Raise `InvalidInput` for no lines, a line of another order, a line named twice, or a bad quantity.
        """
        if not lines:
            raise InvalidInput("Name at least one line, or leave the lines out for all that is left.", "lines")
        wanted: dict[UUID, int] = {}
        for index, line in enumerate(lines):
            if line.line_id not in self._lines:
                raise InvalidInput("The order has no such line.", "lines", index, "line_id")
            if line.line_id in wanted:
                raise InvalidInput("This line is named twice.", "lines", index, "line_id")
            wanted[line.line_id] = quantity(line.quantity, "lines", index, "quantity")
        return wanted

    def fits(self, wanted: dict[UUID, int], within: Fulfillment | None = None) -> bool:
        """Return whether so many units are free. Those of a fulfillment to be repacked count as free."""
        return self._first_excess(wanted, within) is None

    def require_fit(self, wanted: dict[UUID, int], within: Fulfillment | None = None) -> None:
        """Raise `InvalidInput` for the first line of which fewer units are left."""
        excess = self._first_excess(wanted, within)
        if excess is not None:
            index, left = excess
            raise InvalidInput(f"Only {left} of this line are left.", "lines", index, "quantity")

    def _first_excess(self, wanted: dict[UUID, int], within: Fulfillment | None) -> tuple[int, int] | None:
        packed = self._contents[within.id] if within else {}
        for index, (line_id, count) in enumerate(wanted.items()):
            left = self._lines[line_id].fulfillable_quantity + packed.get(line_id, 0)
            if count > left:
                return index, left
        return None

    def holds(self, fulfillment: Fulfillment, wanted: dict[UUID, int]) -> bool:
        """Return whether the fulfillment holds exactly these units."""
        return self._contents[fulfillment.id] == wanted

    def holding(self, wanted: dict[UUID, int], state: FulfillmentState) -> Fulfillment | None:
        """Return the first fulfillment in that state that holds exactly these units."""
        return next((each for each in self.in_state(state) if self.holds(each, wanted)), None)

    def have_left(self, line_ids: Iterable[UUID]) -> bool:
        """Return whether all units that are due of these lines have left."""
        lines = [self._lines[line_id] for line_id in line_ids]
        return all(line.shipped_quantity == line.quantity - line.removed_quantity for line in lines)

    def pack(self, wanted: dict[UUID, int], into: Fulfillment | None = None) -> Fulfillment:
        """Set the fulfillment's units to exactly these, which must fit. Open a new fulfillment if none is given."""
        if into is not None and self.holds(into, wanted):
            return into
        if into is None:
            into = Fulfillment(
                id=new_key(),
                order_id=self._order.id,
                position=len(self.fulfillments) + 1,
                state=FulfillmentState.OPEN,
                created_at=self._work.now,
            )
            self.fulfillments.append(into)
            self._opened.append(into)
            self._contents[into.id] = {}
        else:
            self._repacked.append(into)
        for line_id, count in self._contents[into.id].items():
            self._moving(line_id).fulfillable_quantity += count
        for line_id, count in wanted.items():
            self._moving(line_id).fulfillable_quantity -= count
        self._contents[into.id] = dict(wanted)
        return into

    def pack_rest(self) -> Fulfillment:
        """Put all free units into a new fulfillment. Raise `NothingToShip` if there are none."""
        free = self.free_units()
        if not free:
            raise rules.NothingToShip("Nothing is left to ship.")
        return self.pack(free)

    def open_rest(self) -> Fulfillment:
        """Do as `pack_rest`, and record an event, because the order's status stays the same."""
        opened = self.pack_rest()
        self._work.record(self._order, FulfillmentOpened(fulfillment_id=opened.id, lines=self.units_in(opened)))
        return opened

    def _moving(self, line_id: UUID) -> OrderLine:
        return self._moved.setdefault(line_id, self._lines[line_id])

    def ship(self, fulfillment: Fulfillment) -> None:
        """Ship the fulfillment, update the order's statuses, and record the event."""
        fulfillment.state = FulfillmentState.SHIPPED
        fulfillment.shipped_at = self._work.now
        self._shipped.append(fulfillment)
        units = self.units_in(fulfillment)
        for each in units:
            self._moving(each.line_id).shipped_quantity += each.quantity
        order = self._order
        order.fulfillment_status = rules.fulfillment_status(self._lines.values())
        if order.fulfillment_status is not FulfillmentStatus.FULFILLED:
            self._work.record(order, FulfillmentShipped(fulfillment_id=fulfillment.id, lines=units))
            return
        order.status = OrderStatus.SHIPPED
        order.shipped_at = self._work.now
        self._work.record(order, OrderShipped(fulfillment_id=fulfillment.id, lines=units))

    def give_back(self, fulfillment: Fulfillment) -> None:
        """Cancel the fulfillment and free its units."""
        fulfillment.state = FulfillmentState.CANCELLED
        self._cancelled.append(fulfillment)
        for each in self.units_in(fulfillment):
            self._moving(each.line_id).fulfillable_quantity += each.quantity

    async def write(self) -> None:
        """Save the changed lines and fulfillments."""
        if self._repacked:
            await FulfillmentLine.filter(fulfillment_id__in=[each.id for each in self._repacked]).delete()
        writes = []
        if self._opened:
            writes.append(insert(Fulfillment, [vars(each) for each in self._opened]))
        changed = [each for each in (*self._shipped, *self._cancelled) if each not in self._opened]
        if changed:
            writes.append(update_all(changed, ["state", "shipped_at"]))
        if rows := [row for each in (*self._opened, *self._repacked) for row in self._rows(each)]:
            writes.append(insert(FulfillmentLine, rows))
        if self._moved:
            writes.append(update_all(list(self._moved.values()), ["fulfillable_quantity", "shipped_quantity"]))
        await write(*writes)

    def _rows(self, fulfillment: Fulfillment) -> list[dict[str, Any]]:
        return [
            {
                "id": new_key(),
                "fulfillment_id": fulfillment.id,
                "order_line_id": each.line_id,
                "quantity": each.quantity,
            }
            for each in self.units_in(fulfillment)
        ]
