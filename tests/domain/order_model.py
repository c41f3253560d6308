"""An order's life once more, in plain Python and from the documentation alone, to hold the real one against.

Amounts are minor units. Lines and fulfillments go by their place in the order, tracking numbers by when they were
added. A step returns the types of the events that it records, none for a repetition, or raises `Refused`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

OPEN, SHIPPED, CANCELLED = "OPEN", "SHIPPED", "CANCELLED"
Lines = Sequence[tuple[int, int]] | None


class Refused(Exception):
    @property
    def code(self) -> str:
        return str(self.args[0])


@dataclass
class Line:
    quantity: int
    removed: int
    free: int
    shipped: int = 0

    @property
    def due(self) -> int:
        return self.quantity - self.removed


@dataclass
class Parcel:
    units: dict[int, int]
    state: str = OPEN


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

    def confirm(self) -> list[str]:
        if self.status == "CONFIRMED":
            return []
        self._require("PENDING")
        self.status = "CONFIRMED"
        return ["ORDER_CONFIRMED"]

    def cancel(self, reason: str) -> list[str]:
        if self.status == CANCELLED:
            return []
        self._require("PENDING", "CONFIRMED", "READY_TO_SHIP")
        self.status, self.reason = CANCELLED, reason
        for parcel in self._parcels(OPEN):
            parcel.state = CANCELLED
        for line in self.lines:
            line.free = 0
        return ["ORDER_CANCELLED", *self._give_back()]

    def archive(self) -> list[str]:
        if self.archived:
            return []
        self._require(SHIPPED, CANCELLED)
        if self.outstanding:
            raise Refused("INVALID_TRANSITION")
        self.archived = True
        return ["ORDER_ARCHIVED"]

    def unarchive(self) -> list[str]:
        was, self.archived = self.archived, False
        return ["ORDER_UNARCHIVED"] if was else []

    def add_note(self, note: str) -> list[str]:
        self.note = f"{self.note}\n{note}" if self.note else note
        return ["NOTE_ADDED"]

    def ready(self, lines: Lines) -> list[str]:
        self._require("CONFIRMED", "READY_TO_SHIP")
        wanted = self._free() if lines is None else self._read(lines)
        packed = [parcel for parcel in self._parcels(OPEN) if parcel.units == wanted]
        if packed and not self._fits(wanted):
            wanted = {}
        if not wanted and self.status == "READY_TO_SHIP":
            return []
        if not wanted and not self._parcels(OPEN):
            raise Refused("NOTHING_TO_SHIP")
        if not self._fits(wanted):
            raise Refused("INVALID_INPUT")
        if wanted:
            self._pack(wanted)
        was, self.status = self.status, "READY_TO_SHIP"
        return ["FULFILLMENT_OPENED" if was == "READY_TO_SHIP" else "ORDER_READY_TO_SHIP"]

    def ship(self, lines: Lines, parcel: int | None, numbers: Sequence[str]) -> list[str]:
        wanted = None if lines is None else self._read(lines)
        named = self._parcel(parcel)
        if self._was_shipped(wanted, named):
            if set(numbers) - {each.number for each in self.numbers if not each.removed}:
                raise Refused("INVALID_TRANSITION")
            return []
        self._require("CONFIRMED", "READY_TO_SHIP", SHIPPED)
        leaving = self._leaving(wanted, named)
        if numbers and len(leaving) > 1:
            raise Refused("INVALID_INPUT")
        events = []
        for number in numbers:
            events += self._track(leaving[0], number, None)
        for each in leaving:
            each.state = SHIPPED
            for line, count in each.units.items():
                self.lines[line].shipped += count
            events.append("FULFILLMENT_SHIPPED")
        if self.fulfillment_status == "FULFILLED":
            self.status = SHIPPED
            events[-1] = "ORDER_SHIPPED"
        return events

    def _was_shipped(self, wanted: dict[int, int] | None, named: Parcel | None) -> bool:
        if named is not None:
            return named.state == SHIPPED and wanted in (None, named.units)
        if wanted is None:
            return self.status == SHIPPED
        nothing_follows = all(self.lines[line].shipped == self.lines[line].due for line in wanted)
        return nothing_follows and wanted in [parcel.units for parcel in self._parcels(SHIPPED)]

    def _leaving(self, wanted: dict[int, int] | None, named: Parcel | None) -> list[Parcel]:
        waiting = self._parcels(OPEN)
        if named is not None and named.state != OPEN:
            raise Refused("INVALID_TRANSITION")
        if wanted is None:
            return [named] if named else waiting or [self._pack_rest()]
        if named is None:
            named = next((parcel for parcel in waiting if parcel.units == wanted), None)
            if named is None and not self._fits(wanted):
                possible = [parcel for parcel in waiting if self._fits(wanted, parcel)]
                if len(possible) != 1:
                    raise Refused("INVALID_INPUT")
                [named] = possible
        if not self._fits(wanted, named):
            raise Refused("INVALID_INPUT")
        if named is None:
            return [self._pack(wanted)]
        for line, count in named.units.items():
            self.lines[line].free += count
        for line, count in wanted.items():
            self.lines[line].free -= count
        named.units = wanted
        return [named]

    def add_tracking(self, number: str, carrier: str | None, parcel: int | None) -> list[str]:
        self._require("CONFIRMED", "READY_TO_SHIP", SHIPPED)
        named = self._parcel(parcel)
        events = []
        if named is None:
            candidates = self._parcels(OPEN) or self._parcels(SHIPPED)
            if len(candidates) > 1:
                raise Refused("INVALID_INPUT")
            if not candidates:
                candidates = [self._pack_rest()]
                events.append("FULFILLMENT_OPENED")
            [named] = candidates
        return events + self._track(named, number, carrier)

    def create_note(self, parcel: int | None, replaces: int | None) -> list[str]:
        self._require("CONFIRMED", "READY_TO_SHIP", SHIPPED)
        events, replaced = [], 0
        if replaces is not None:
            if replaces >= len(self.notes):
                raise Refused("NOT_FOUND")
            of, replaced = self.notes[replaces]
            if parcel not in (None, of):
                raise Refused("INVALID_INPUT")
        elif parcel is not None:
            self._parcel(parcel)
            of = parcel
        else:
            candidates = self._parcels(OPEN) or ([] if self._free() else self._parcels(SHIPPED))
            if len(candidates) > 1:
                raise Refused("INVALID_INPUT")
            if not candidates:
                candidates = [self._pack_rest()]
                events.append("FULFILLMENT_OPENED")
            of = self._index(candidates[0])
        newest = sum(each == of for each, _ in self.notes)
        if newest > replaced:
            return []
        self.notes.append((of, newest + 1))
        return [*events, "DELIVERY_NOTE_CREATED"]

    def update_tracking(self, index: int, number: str | None, carrier: str | None) -> list[str]:
        """`None` leaves the number as it is, and takes the carrier away."""
        if index >= len(self.numbers) or self.numbers[index].removed:
            raise Refused("NOT_FOUND")
        tracking = self.numbers[index]
        number = tracking.number if number is None else number
        if not number:
            raise Refused("INVALID_INPUT")
        if (number, carrier) == (tracking.number, tracking.carrier):
            return []
        if number != tracking.number and self._numbered(tracking.parcel, number):
            raise Refused("INVALID_INPUT")
        tracking.number, tracking.carrier = number, carrier
        return ["TRACKING_UPDATED"]

    def remove_tracking(self, index: int) -> list[str]:
        if index >= len(self.numbers):
            raise Refused("NOT_FOUND")
        was, self.numbers[index].removed = self.numbers[index].removed, True
        return [] if was else ["TRACKING_REMOVED"]

    def capture(self, amount: int | None) -> list[str]:
        self._require("PENDING", "CONFIRMED", "READY_TO_SHIP", SHIPPED)
        if amount is None and not self.outstanding:
            return []
        usable = [each for each in self.authorizations if each.left]
        if any(each.gateway != "manual" for each in usable):
            raise Refused("UNKNOWN_GATEWAY")
        left = self._amount(amount, min(self.outstanding, self.authorized) if usable else self.outstanding)
        self.paid += left
        events = [] if usable else ["PAYMENT_CAPTURED"]
        for each in usable:
            part = min(left, each.left)
            each.left -= part
            left -= part
            events += ["PAYMENT_CAPTURED"] if part else []
        return events

    def record(self, amount: int | None) -> list[str]:
        self._require("PENDING", "CONFIRMED", "READY_TO_SHIP", SHIPPED)
        if amount is None and not self.outstanding:
            return []
        self.paid += self._amount(amount, self.outstanding)
        return ["PAYMENT_RECORDED"]

    def refund(self, amount: int | None) -> list[str]:
        left = self.paid - self.refunded
        if amount is None and not left:
            if not self.paid:
                raise Refused("NOTHING_TO_REFUND")
            return []
        self.refunded += self._amount(amount, left)
        return ["PAYMENT_REFUNDED"]

    def void(self) -> list[str]:
        if not self.authorized:
            if not self.voided:
                raise Refused("NOTHING_TO_VOID")
            return []
        if any(each.left and each.gateway != "manual" for each in self.authorizations):
            raise Refused("UNKNOWN_GATEWAY")
        return self._give_back()

    def _give_back(self) -> list[str]:
        given_back = [each for each in self.authorizations if each.left and each.gateway == "manual"]
        for each in given_back:
            self.voided += each.left
            each.left = 0
        return ["PAYMENT_VOIDED"] * len(given_back)

    def _amount(self, amount: int | None, limit: int) -> int:
        if amount is not None and not 0 < amount <= limit:
            raise Refused("INVALID_INPUT")
        return limit if amount is None else amount

    def _require(self, *statuses: str) -> None:
        if self.status not in statuses:
            raise Refused("INVALID_TRANSITION")

    def _parcels(self, state: str) -> list[Parcel]:
        return [parcel for parcel in self.parcels if parcel.state == state]

    def _parcel(self, index: int | None) -> Parcel | None:
        if index is not None and index >= len(self.parcels):
            raise Refused("NOT_FOUND")
        return None if index is None else self.parcels[index]

    def _index(self, parcel: Parcel) -> int:
        return [each is parcel for each in self.parcels].index(True)

    def _free(self) -> dict[int, int]:
        return {index: line.free for index, line in enumerate(self.lines) if line.free}

    def _read(self, lines: Sequence[tuple[int, int]]) -> dict[int, int]:
        sound = all(line < len(self.lines) and count > 0 for line, count in lines)
        if not lines or not sound or len(dict(lines)) < len(lines):
            raise Refused("INVALID_INPUT")
        return dict(lines)

    def _fits(self, wanted: dict[int, int], within: Parcel | None = None) -> bool:
        packed = within.units if within else {}
        return all(count <= self.lines[line].free + packed.get(line, 0) for line, count in wanted.items())

    def _pack(self, wanted: dict[int, int]) -> Parcel:
        for line, count in wanted.items():
            self.lines[line].free -= count
        self.parcels.append(Parcel(wanted))
        return self.parcels[-1]

    def _pack_rest(self) -> Parcel:
        if not self._free():
            raise Refused("NOTHING_TO_SHIP")
        return self._pack(self._free())

    def _numbered(self, parcel: int, number: str) -> Number | None:
        found = [each for each in self.numbers if not each.removed and (each.parcel, each.number) == (parcel, number)]
        return found[0] if found else None

    def _track(self, parcel: Parcel, number: str, carrier: str | None) -> list[str]:
        index = self._index(parcel)
        known = self._numbered(index, number)
        if known is None:
            self.numbers.append(Number(index, number, carrier))
            return ["TRACKING_ADDED"]
        if carrier not in (None, known.carrier):
            raise Refused("INVALID_INPUT")
        return []
