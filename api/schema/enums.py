"""The enums of GraphQL: the vocabularies of `models` and `domain`, which describe themselves."""

import strawberry
from strawberry.types.enum import EnumValue

from domain.actors import Scope
from domain.errors import ErrorCode
from domain.orders.actions import ActionRefusalCode, OrderAction
from domain.orders.queries import OrderSortField, SortDirection
from domain.tokens import TokenState
from models.enums import (
    ActorKind,
    AutomationKind,
    CancelReason,
    EffectKind,
    EffectState,
    EmailKind,
    FulfillmentState,
    FulfillmentStatus,
    OrderEventType,
    OrderSource,
    OrderStatus,
    PaymentStatus,
    RequestStatus,
    TransactionKind,
    TransactionStatus,
)
from models.vocabularies import StoredVocabulary, Vocabulary

__all__ = [
    "ActionRefusalCode",
    "ActorKind",
    "AutomationKind",
    "CancelReason",
    "EffectKind",
    "EffectState",
    "EmailKind",
    "ErrorCode",
    "FulfillmentState",
    "FulfillmentStatus",
    "OrderAction",
    "OrderEventType",
    "OrderSortField",
    "OrderSource",
    "OrderStatus",
    "PaymentStatus",
    "RequestStatus",
    "Scope",
    "SortDirection",
    "TokenState",
    "TransactionKind",
    "TransactionStatus",
]

UNKNOWN = "UNKNOWN"
_UNKNOWN_DESCRIPTION = (
    "One that this version of the server does not know: another version has written it. It is only ever answered; as"
    " input it is refused."
)
_MAY_GROW = " More values may be added: treat one that you do not know as unknown."


class _AnyOther:
    """The value of UNKNOWN. It equals every word, so that Strawberry finds it for a word that no other value equals.

    It is not a member of any vocabulary, and therefore refused as input.
    """

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(UNKNOWN)

    def __repr__(self) -> str:
        return UNKNOWN


def _make_enum(vocabulary: type[Vocabulary], name: str | None = None) -> None:
    """Make the vocabulary an enum of GraphQL. One that is stored has UNKNOWN besides its words."""
    strawberry.enum(vocabulary, description=f"{vocabulary.__doc__}{_MAY_GROW}", name=name)
    definition = vocabulary.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = vocabulary[value.name].description
    if issubclass(vocabulary, StoredVocabulary):
        definition.values.append(EnumValue(UNKNOWN, _AnyOther(), description=_UNKNOWN_DESCRIPTION))


for _name in __all__:
    _make_enum(globals()[_name], name="UserErrorCode" if _name == "ErrorCode" else None)
