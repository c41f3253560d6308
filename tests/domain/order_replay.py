"""An order as its events tell it: what somebody knows who has read nothing but the log, one event after another."""

from collections.abc import Mapping
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
    numbers: dict[str, tuple[str, str, str | None, str | None]] = field(default_factory=dict)
    every_number: list[str] = field(default_factory=list)
    notes: dict[str, tuple[str, str]] = field(default_factory=dict)
    money: dict[str, int] = field(default_factory=dict)

    def read(self, event: Row) -> None:
        """Takes the event in, and checks what it says about the statuses before and after it."""
        before = [self.columns.get(axis) for axis in AXES]
        getattr(self, "_" + event["type"].lower())(event["data"], event["occurred_at"])
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

    def _order_placed(self, data: Any, at: str) -> None:
        sums = ("subtotal", "discountTotal", "shippingTotal", "taxTotal", "total")
        names = ("subtotal", "discount_total", "shipping_total", "tax_total", "total")
        self.columns |= {name: _cents(data[said]) for name, said in zip(names, sums, strict=True)}
        self.columns |= {"number": int(data["number"]), "status": "PENDING", "note": None, "archived_at": None}
        self.columns |= {"authorized_total": 0, "paid_total": 0, "refunded_total": 0, "cancel_reason": None}
        self.columns |= {"confirmed_at": None, "shipped_at": None, "cancelled_at": None}
        for line in data["lines"]:
            self.due[line["lineId"]] = line["quantity"] - line["removedQuantity"]
            self.shipped[line["lineId"]] = 0

    def _order_confirmed(self, data: Any, at: str) -> None:
        self.columns |= {"status": "CONFIRMED", "confirmed_at": at}

    def _order_cancelled(self, data: Any, at: str) -> None:
        self.columns |= {"status": "CANCELLED", "cancelled_at": at, "cancel_reason": data["reason"]}
        for key, (state, units) in self.parcels.items():
            self.parcels[key] = ("CANCELLED" if state == "OPEN" else state, units)

    def _order_ready_to_ship(self, data: Any, at: str) -> None:
        self.columns["status"] = "READY_TO_SHIP"
        if data["fulfillmentId"]:
            self._fulfillment_opened(data, at)

    def _fulfillment_opened(self, data: Any, at: str) -> None:
        assert data["fulfillmentId"] not in self.parcels
        self.parcels[data["fulfillmentId"]] = ("OPEN", _units(data))

    def _fulfillment_shipped(self, data: Any, at: str) -> None:
        self.parcels[data["fulfillmentId"]] = ("SHIPPED", _units(data))
        for line, count in _units(data).items():
            self.shipped[line] += count

    def _order_shipped(self, data: Any, at: str) -> None:
        self._fulfillment_shipped(data, at)
        self.columns |= {"status": "SHIPPED", "shipped_at": at}

    def _delivery_note_created(self, data: Any, at: str) -> None:
        if data["replacesId"]:
            assert self.notes[data["replacesId"]] == (data["fulfillmentId"], data["replacesNumber"])
        self.notes[data["deliveryNoteId"]] = (data["fulfillmentId"], data["number"])

    def _tracking_added(self, data: Any, at: str) -> None:
        assert data["trackingId"] not in self.every_number
        self.every_number.append(data["trackingId"])
        self._number(data)

    def _tracking_updated(self, data: Any, at: str) -> None:
        assert self.numbers[data["trackingId"]][1] == data["previousNumber"]
        self._number(data)

    def _number(self, data: Any) -> None:
        self.numbers[data["trackingId"]] = (data["fulfillmentId"], data["number"], data["carrier"], data["url"])

    def _tracking_removed(self, data: Any, at: str) -> None:
        assert self.numbers.pop(data["trackingId"])[1] == data["number"]

    def _order_archived(self, data: Any, at: str) -> None:
        self.columns["archived_at"] = at

    def _order_unarchived(self, data: Any, at: str) -> None:
        self.columns["archived_at"] = None

    def _note_added(self, data: Any, at: str) -> None:
        note = self.columns["note"]
        self.columns["note"] = f"{note}\n{data['note']}" if note else data["note"]

    def _payment_authorized(self, data: Any, at: str) -> None:
        self.columns["authorized_total"] += self._moved("AUTHORIZATION", data)

    def _payment_captured(self, data: Any, at: str) -> None:
        amount = self._moved("CAPTURE", data)
        self.columns["paid_total"] += amount
        self.columns["authorized_total"] = max(self.columns["authorized_total"] - amount, 0)

    def _payment_recorded(self, data: Any, at: str) -> None:
        self.columns["paid_total"] += self._moved("SALE", data)

    def _payment_refunded(self, data: Any, at: str) -> None:
        self.columns["refunded_total"] += self._moved("REFUND", data)

    def _payment_voided(self, data: Any, at: str) -> None:
        self.columns["authorized_total"] -= self._moved("VOID", data)

    def _moved(self, kind: str, data: Any) -> int:
        amount = _cents(data["amount"])
        self.money[kind] = self.money.get(kind, 0) + amount
        return amount


def _cents(money: Any) -> int:
    assert money["currencyCode"] == "CHF"
    return int(Decimal(money["amount"]) * 100)


def _units(data: Any) -> dict[str, int]:
    return {line["lineId"]: line["quantity"] for line in data["lines"]}
