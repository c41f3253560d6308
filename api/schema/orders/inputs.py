"""The inputs of mutations of orders, and their translation for the domain's commands."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from inspect import Parameter
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry

from api.schema import ids
from domain.change import Idempotency, Target
from domain.errors import InvalidInput
from domain.fulfillments.commands import KEEP, Keep, TrackingInfo
from domain.fulfillments.packing import LineQuantity
from domain.payments.commands import Amount
from domain.validation import required_text

field = strawberry.field


def optional(description: str) -> Any:
    """Declare a field that may be left out or null."""
    return field(default=None, description=description)


def about(description: str) -> Any:
    """Describe a method's parameter, in its `Annotated`."""
    return strawberry.argument(description=description)


def idempotency_of(given: Any) -> Idempotency | None:
    """Return the input's key, if it has one, with a fingerprint of all the rest of it."""
    if given.idempotency_key is None:
        return None
    key = required_text(given.idempotency_key, "idempotency_key", longest=255)
    content = {**strawberry.asdict(given), "idempotency_key": None, "": type(given).__name__}
    text = json.dumps(content, default=str, sort_keys=True)
    return Idempotency(key, hashlib.sha256(text.encode()).hexdigest())


IDEMPOTENCY_KEY = (
    "The caller's own key for this act: the same key with the same input acts once, however often it is sent."
)


def _parameter(name: str, type_: Any, **options: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=type_, **options)


_ORDER: Final = _parameter("order_id", Annotated[strawberry.ID, about("The order.")])
_CONDITIONS: Final = (
    _parameter(
        "expected_version",
        Annotated[
            int | None, about("The version that the caller has seen; VERSION_CONFLICT if the order has changed since.")
        ],
        default=None,
    ),
    _parameter("idempotency_key", Annotated[str | None, about(IDEMPOTENCY_KEY)], default=None),
)


class OrderInput:
    """The input of a mutation of one order. `order_input` makes the types."""

    order_id: strawberry.ID
    expected_version: int | None
    idempotency_key: str | None

    def order_key(self) -> UUID:
        """Return the order's key. Raise `InvalidInput`."""
        return ids.decode("Order", self.order_id, "order_id")

    def target(self) -> Target:
        """Return the order, and the conditions under which it is changed. Raise `InvalidInput`."""
        return Target(self.order_key(), self.expected_version, idempotency_of(self))


def order_input(name: str, description: str, parameters: Iterable[Parameter]) -> type[OrderInput]:
    """Return an input type that has the order, a field for each of a method's parameters, and the conditions.

    Each parameter is annotated with its type and its description.
    """
    contents: dict[str, Any] = {"__annotations__": {}}
    for each in (_ORDER, *parameters, *_CONDITIONS):
        [argument] = each.annotation.__metadata__
        options = {} if each.default is Parameter.empty else {"default": each.default}
        contents["__annotations__"][each.name] = each.annotation.__origin__
        contents[each.name] = field(description=argument.description, **options)
    return strawberry.input(type(name, (OrderInput,), contents), description=description)


LOCALE = "The language: de-CH, de-DE, fr-CH, it-CH or en. By default the one that suits the order's locale."


@strawberry.input(description="An amount of money.")
class MoneyInput:
    amount: Decimal = field(description="The amount, as a string so that no cent is lost.")
    currency_code: str | None = optional("The currency's code (ISO 4217); must be the order's.")


def to_amount(given: MoneyInput | None) -> Amount | None:
    return Amount(given.amount, given.currency_code) if given else None


@strawberry.input(description="Some units of a line.")
class LineQuantityInput:
    line_id: strawberry.ID = field(description="The order's line.")
    quantity: int = field(description="How many units: at least 1.")


def line_quantities(lines: Sequence[LineQuantityInput] | None) -> list[LineQuantity] | None:
    if lines is None:
        return None
    return [
        LineQuantity(ids.decode("OrderLine", line.line_id, "lines", index, "line_id"), line.quantity)
        for index, line in enumerate(lines)
    ]


def optional_key(type_name: str, global_id: str | None, *field: str | int) -> UUID | None:
    """Return the key of an id, or None if it is left out. Raise `InvalidInput`."""
    return None if global_id is None else ids.decode(type_name, global_id, *field)


@strawberry.input(description="A tracking number.")
class TrackingInput:
    number: str = field(description="The tracking number.")
    carrier: str | None = optional("The carrier's name.")
    url: str | None = optional("Where the parcel can be followed: an http or https address.")


@strawberry.input(description="Give many fulfillments their delivery notes, and print them all.")
class CreateDeliveryNotesInput:
    fulfillment_ids: list[strawberry.ID] = field(
        description="The fulfillments, also of several orders: 1 to 100. One that has a note keeps it."
    )
    locale: str | None = optional(LOCALE)

    def keys(self) -> list[UUID]:
        return [
            ids.decode("Fulfillment", each, "fulfillment_ids", index) for index, each in enumerate(self.fulfillment_ids)
        ]


def tracking_infos(given: Sequence[TrackingInput] | None) -> list[TrackingInfo]:
    return [
        TrackingInfo(each.number, each.carrier, each.url, field=("tracking", str(index)))
        for index, each in enumerate(given or ())
    ]


def number_or_keep(number: str | None) -> str | Keep:
    """Return the number, or `KEEP` if it is left out. Raise `InvalidInput` for null."""
    if number is None:
        raise InvalidInput("A tracking number cannot be empty; use removeTracking.", "number")
    return KEEP if number is strawberry.UNSET else number


def or_keep(value: str | None) -> str | Keep | None:
    return KEEP if value is strawberry.UNSET else value
