"""An order in plain Python, written from the documentation alone, to hold the real one against.

Amounts are minor units. Lines and fulfillments go by their place in the order, tracking numbers by when they were
added.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.orders.actions import Situation
from models.enums import OrderStatus

OPEN, SHIPPED, CANCELLED = "OPEN", "SHIPPED", "CANCELLED"


class Refused(Exception):
    @property
    def code(self) -> str:
        return str(self.args[0])


@dataclass
class Line:
    quantity: int
    removed: int
    free: int
    service: str | None = None
    shipped: int = 0

    @property
    def due(self) -> int:
        return self.quantity - self.removed


@dataclass
class Parcel:
    units: dict[int, int]
    state: str = OPEN
    service: str | None = None
    request: str | None = None
    rejection: str | None = None


@dataclass
class Number:
    parcel: int
    number: str
    carrier: str | None
    removed: bool = False


@dataclass
class Authorization:
    gateway: str
    left: int


@dataclass
class ModelOrder:
    lines: list[Line]
    total: int
    authorizations: list[Authorization]
    paid: int
    status: str = "PENDING"
    version: int = 0
    archived: bool = False
    reason: str | None = None
    note: str | None = None
    held: str | None = None
    also: dict[str, Any] = field(default_factory=dict)  # columns on which nothing else depends
    refunded: int = 0
    voided: int = 0
    parcels: list[Parcel] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    notes: list[tuple[int, int]] = field(default_factory=list)  # delivery notes: of which parcel, its how many-th

    @property
    def authorized(self) -> int:
        return sum(each.left for each in self.authorizations)

    @property
    def outstanding(self) -> int:
        return 0 if self.status == CANCELLED else max(self.total - self.paid, 0)

    @property
    def payment_status(self) -> str:
        if self.refunded:
            return "REFUNDED" if self.refunded == self.paid else "PARTIALLY_REFUNDED"
        if self.paid or not self.total:
            return "PAID" if self.paid >= self.total else "PARTIALLY_PAID"
        if self.authorized:
            return "AUTHORIZED"
        return "VOIDED" if self.voided else "PENDING"

    @property
    def fulfillment_status(self) -> str:
        shipped = sum(line.shipped for line in self.lines)
        if not shipped:
            return "UNFULFILLED"
        return "FULFILLED" if shipped == sum(line.due for line in self.lines) else "PARTIALLY_FULFILLED"

    def columns(self) -> dict[str, Any]:
        """Return what the order's row must hold."""
        return {
            "status": self.status,
            "payment_status": self.payment_status,
            "fulfillment_status": self.fulfillment_status,
            "version": self.version,
            "total": self.total,
            "paid_total": self.paid,
            "refunded_total": self.refunded,
            "authorized_total": self.authorized,
            "note": self.note,
            "cancel_reason": self.reason,
            "hold_reason": self.held,
            **self.also,
        }

    def situation(self) -> Situation:
        return Situation(
            status=OrderStatus(self.status),
            archived=self.archived,
            held=self.held is not None,
            outstanding=self.outstanding,
            refundable=self.paid - self.refunded,
            fulfillable_units=sum(line.free for line in self.lines),
            requestable_units=sum(line.free for line in self.lines if line.service),
            open_units=sum(sum(parcel.units.values()) for parcel in self.parcels_in(OPEN)),
            tracking_numbers=sum(not each.removed for each in self.numbers),
            fulfillments_without_note=sum(
                parcel.state != CANCELLED and all(of != place for of, _ in self.notes)
                for place, parcel in enumerate(self.parcels)
            ),
            authorized=self.authorized,
            unknown_gateways=frozenset(each.gateway for each in self.authorizations if each.left) - {"manual"},
        )

    def require(self, *statuses: str) -> None:
        if self.status not in statuses:
            raise Refused("INVALID_TRANSITION")

    def parcels_in(self, state: str) -> list[Parcel]:
        return [parcel for parcel in self.parcels if parcel.state == state]

    def parcel(self, index: int | None) -> Parcel | None:
        return None if index is None else self.parcel_at(index)

    def parcel_at(self, index: int) -> Parcel:
        if index >= len(self.parcels):
            raise Refused("NOT_FOUND")
        return self.parcels[index]

    def index(self, parcel: Parcel) -> int:
        return [each is parcel for each in self.parcels].index(True)

    def free(self) -> dict[int, int]:
        return {index: line.free for index, line in enumerate(self.lines) if line.free}

    def read(self, lines: Sequence[tuple[int, int]]) -> dict[int, int]:
        sound = all(line < len(self.lines) and count > 0 for line, count in lines)
        if not lines or not sound or len(dict(lines)) < len(lines):
            raise Refused("INVALID_INPUT")
        return dict(lines)

    def fits(self, wanted: dict[int, int], within: Parcel | None = None) -> bool:
        packed = within.units if within else {}
        return all(count <= self.lines[line].free + packed.get(line, 0) for line, count in wanted.items())

    def pack(self, wanted: dict[int, int]) -> Parcel:
        for line, count in wanted.items():
            self.lines[line].free -= count
        self.parcels.append(Parcel(wanted))
        return self.parcels[-1]

    def unpack(self, parcel: Parcel) -> None:
        for line, count in parcel.units.items():
            self.lines[line].free += count

    def pack_rest(self) -> Parcel:
        if not self.free():
            raise Refused("NOTHING_TO_SHIP")
        return self.pack(self.free())

    def void_all(self) -> list[str]:
        """Give up what is authorized by hand. What a gateway holds stays."""
        given_back = [each for each in self.authorizations if each.left and each.gateway == "manual"]
        for each in given_back:
            self.voided += each.left
            each.left = 0
        return ["PAYMENT_VOIDED"] * len(given_back)
