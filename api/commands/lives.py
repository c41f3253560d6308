"""Recorded lives of orders, as a CSV file has them, and the steps through the API that they stand for."""

import csv
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

COLUMNS = (
    "order_id",
    "customer_id",
    "order_status",
    "order_purchase_timestamp",
    "order_approved_at",
    "order_delivered_carrier_date",
)
CANCELLED = frozenset({"canceled", "cancelled", "unavailable"})


class Act(StrEnum):
    """A mutation's name."""

    PLACE = "placeOrder"
    CONFIRM = "confirmOrder"
    SHIP = "markShipped"
    CANCEL = "cancelOrder"


STATUS_AFTER = {
    Act.PLACE: "PENDING",
    Act.CONFIRM: "CONFIRMED",
    Act.SHIP: "SHIPPED",
    Act.CANCEL: "CANCELLED",
}


@dataclass(frozen=True, slots=True)
class Step:
    order_id: str
    act: Act
    at: datetime


@dataclass(frozen=True, slots=True)
class Life:
    """What happened to one order, in the order in which it can happen."""

    order_id: str
    customer_id: str
    unavailable: bool
    steps: tuple[Step, ...]

    @property
    def last_status(self) -> str:
        return STATUS_AFTER[self.steps[-1].act]


def read_lives(path: Path) -> list[Life]:
    """Return the lives in a CSV file with a line of column names. Raise `ValueError` with the line at fault."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
            raise ValueError(f"the first line lacks the columns {', '.join(missing)}")
        lives: dict[str, Life] = {}
        for row in rows:
            try:
                life = _life(row)
                if life.order_id in lives:
                    raise ValueError(f"the order {life.order_id} is in the file twice")
            except ValueError as error:
                raise ValueError(f"line {rows.line_num}: {error}") from error
            lives[life.order_id] = life
    if not lives:
        raise ValueError("there is no order in it")
    return list(lives.values())


def _life(row: Mapping[str, str | None]) -> Life:
    order_id = (row["order_id"] or "").strip()
    placed = _time(row, "order_purchase_timestamp")
    if not order_id or placed is None:
        raise ValueError("an order has an order_id and an order_purchase_timestamp")
    approved, left = _time(row, "order_approved_at"), _time(row, "order_delivered_carrier_date")
    status = (row["order_status"] or "").strip()
    times: list[tuple[Act, datetime | None]] = [
        (Act.PLACE, placed),
        (Act.CONFIRM, approved or left),
        (Act.SHIP, left),
        # When it was cancelled is not recorded, only that it was. What has left cannot be cancelled any more.
        (Act.CANCEL, (approved or placed) if status in CANCELLED and left is None else None),
    ]
    steps: list[Step] = []
    for act, at in times:
        if at is not None:
            # A few parcels were handed over before the approval was written down.
            steps.append(Step(order_id, act, max([at, *(step.at for step in steps)])))
    return Life(order_id, (row["customer_id"] or "").strip(), status == "unavailable", tuple(steps))


def _time(row: Mapping[str, str | None], column: str) -> datetime | None:
    text = (row[column] or "").strip()
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{column}: {text!r} is no time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def timeline(lives: Iterable[Life]) -> list[Step]:
    """Return the steps of all lives, as they followed one another."""
    return sorted((step for life in lives for step in life.steps), key=lambda step: step.at)


_GOODS = (
    ("Enamel mug", "MUG-ENA", "39.90"),
    ("Cotton hammock", "HAMMOCK", "189.00"),
    ("Desk lamp", "LAMP-DESK", "129.50"),
    ("Bath towel", "TOWEL-BATH", "54.90"),
    ("Card game", "GAME-CARD", "79.00"),
    ("Phone case", "CASE-PHONE", "29.90"),
)
_TOWNS = (("São Paulo", "01310-100", "SP"), ("Recife", "50030-230", "PE"), ("Curitiba", "80010-000", "PR"))


def new_order(life: Life, channel: str, reference: str) -> dict[str, Any]:
    """Return the input of `placeOrder`. Make up what is not recorded, always in the same way for an order."""
    chance = random.Random(life.order_id)  # noqa: S311 - made-up goods
    town, postal_code, province = chance.choice(_TOWNS)
    return {
        "channel": channel,
        "externalReference": reference,
        "placedAt": life.steps[0].at.isoformat(),
        "currency": "BRL",
        "lines": [
            {"title": title, "sku": sku, "unitPrice": price, "quantity": chance.randint(1, 3)}
            for title, sku, price in chance.sample(_GOODS, chance.randint(1, 3))
        ],
        "shippingPrice": f"{chance.randint(8, 40)}.90",
        "customer": {"name": f"Customer {life.customer_id[:8]}", "email": f"{life.customer_id}@example.com"},
        "shippingAddress": {
            "name": f"Customer {life.customer_id[:8]}",
            "address1": f"Rua das Flores {chance.randint(1, 900)}",
            "postalCode": postal_code,
            "city": town,
            "province": province,
            "countryCode": "BR",
        },
    }


def step_input(life: Life, act: Act, order: str) -> dict[str, Any]:
    """Return the input of the mutations after the first. `order` is the API's id."""
    match act:
        case Act.SHIP:
            number = f"OS{life.order_id[:12].upper()}BR"
            return {"orderId": order, "tracking": [{"number": number, "carrier": "Correios"}]}
        case Act.CANCEL:
            return {"orderId": order, "reason": "INVENTORY" if life.unavailable else "CUSTOMER"}
        case _:
            return {"orderId": order}
