"""An order as its events tell it: what somebody knows who has read nothing but the log, one event after another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]
AXES = ("status", "payment_status", "fulfillment_status")


@dataclass
class Replay:
    """Rows come with the names and types that JSON gives the columns, events and all; amounts are cents."""

    columns: dict[str, Any] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    shipped: dict[str, int] = field(default_factory=dict)
    parcels: dict[str, tuple[str, dict[str, int]]] = field(default_factory=dict)
    requests: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # a request's status, and its rejection
    numbers: dict[str, tuple[str, str, str | None, str | None]] = field(default_factory=dict)
    every_number: list[str] = field(default_factory=list)
    notes: dict[str, tuple[str, str]] = field(default_factory=dict)
    money: dict[str, int] = field(default_factory=dict)

    def read(self, event: Row) -> None:
        """Take the event in, and check what it says about the statuses before and after it."""
        before = [self.columns.get(axis) for axis in AXES]
        READERS[event["type"]](self, event["data"], event["occurred_at"])
        self.columns["version"] = self.columns.get("version", 0) + 1
        self.columns["updated_at"] = event["occurred_at"]
        self._derive()
        assert event["order_version"] == self.columns["version"]
        for axis, old in zip(AXES, before, strict=True):
            new = self.columns[axis]
            said = (event[f"from_{axis}"], event[f"to_{axis}"])
            assert said == ((None, None) if old == new else (old, new)), (event["type"], axis, said, old, new)

    @property
    def free(self) -> dict[str, int]:
        """The units of each line that can still be packed."""
        if self.columns["status"] == "CANCELLED":
            return dict.fromkeys(self.due, 0)
        left = {line: count - self.shipped[line] for line, count in self.due.items()}
        for state, units in self.parcels.values():
            for line, count in units.items() if state == "OPEN" else ():
                left[line] -= count
        return left

    def _derive(self) -> None:
        due, shipped = sum(self.due.values()), sum(self.shipped.values())
        part = "FULFILLED" if shipped == due else "PARTIALLY_FULFILLED"
        self.columns["fulfillment_status"] = part if shipped else "UNFULFILLED"
        total, paid, refunded = (self.columns[f"{name}total"] for name in ("", "paid_", "refunded_"))
        if refunded:
            self.columns["payment_status"] = "REFUNDED" if refunded == paid else "PARTIALLY_REFUNDED"
        elif paid >= total:
            self.columns["payment_status"] = "PAID"
        elif paid:
            self.columns["payment_status"] = "PARTIALLY_PAID"
        elif self.columns["authorized_total"]:
            self.columns["payment_status"] = "AUTHORIZED"
        else:
            self.columns["payment_status"] = "VOIDED" if "VOID" in self.money else "PENDING"

    def open_parcel(self, data: Any) -> None:
        assert data["fulfillmentId"] not in self.parcels
        self.parcels[data["fulfillmentId"]] = ("OPEN", units(data))

    def move_money(self, kind: str, data: Any) -> int:
        amount = cents(data["amount"])
        self.money[kind] = self.money.get(kind, 0) + amount
        return amount


Reader = Callable[[Replay, Any, str], None]
READERS: dict[str, Reader] = {}


def reads(event_type: str) -> Callable[[Reader], Reader]:
    """Declare what the events of that type tell: a function of the replay, the event's data and its time."""

    def declare(reader: Reader) -> Reader:
        READERS[event_type] = reader
        return reader

    return declare


@reads("ORDER_PLACED")
def _placed(replay: Replay, data: Any, at: str) -> None:
    sums = ("subtotal", "discountTotal", "shippingTotal", "taxTotal", "total")
    names = ("subtotal", "discount_total", "shipping_total", "tax_total", "total")
    replay.columns |= {name: cents(data[said]) for name, said in zip(names, sums, strict=True)}
    replay.columns |= {"number": int(data["number"]), "status": "PENDING"}
    replay.columns |= {"authorized_total": 0, "paid_total": 0, "refunded_total": 0}
    later = ("confirmed_at", "shipped_at", "cancelled_at", "cancel_reason", "archived_at", "held_at", "hold_reason")
    replay.columns |= dict.fromkeys((*later, "note"))
    for line in data["lines"]:
        replay.due[line["lineId"]] = line["quantity"] - line["removedQuantity"]
        replay.shipped[line["lineId"]] = 0


def cents(money: Any) -> int:
    assert money["currencyCode"] == "CHF"
    return int(Decimal(money["amount"]) * 100)


def units(data: Any) -> dict[str, int]:
    return {line["lineId"]: line["quantity"] for line in data["lines"]}
