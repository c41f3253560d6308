"""What a caller needs to see a field. To be allowed a mutation does not mean to see all of its payload.

`apply` checks the rights when graphql-core resolves a field. A plan collects the rights of the fields that it selects,
and checks them once for all its rows.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, is_introspection_type, is_object_type

from domain.actors import Actor, Forbidden, Scope
from models.enums import FulfillmentState

_RIGHT: Final = "orderstream.right"  # in a GraphQLField's extensions

_READ: Final = (Scope.ORDERS_READ,)


@dataclass(frozen=True, slots=True)
class Right:
    """A right to see fields. A caller holds it by having all scopes of one of the `alternatives`.

    A fulfillment service holds it only if `services_too`. If `while_asked`, the service sees the field of an order as
    long as it is asked to ship something of the order and has not shipped it yet.
    """

    alternatives: tuple[tuple[Scope, ...], ...]
    services_too: bool = False
    while_asked: bool = False

    def is_held_by(self, actor: Actor) -> bool:
        if actor.service_id is not None:
            return self.services_too
        return any(actor.scopes.issuperset(each) for each in self.alternatives)

    def require(self, actor: Actor) -> None:
        """Raise Forbidden if the caller does not hold the right. Name a scope of the alternative that lacks least."""
        if self.is_held_by(actor):
            return
        if actor.service_id is not None:
            raise Forbidden("A fulfillment service does not see this.")
        missing = ([scope for scope in each if scope not in actor.scopes] for each in self.alternatives)
        raise Forbidden.without(min(missing, key=len)[0])


GIVEN: Final = Right(((),), services_too=True)  # whoever is given the object sees this of it, too
READ: Final = Right((_READ,))
PERSONAL: Final = Right(((*_READ, Scope.CUSTOMERS_READ),))
DESTINATION: Final = Right(PERSONAL.alternatives, while_asked=True)
GOODS: Final = Right((_READ, (Scope.FULFILLMENT_WRITE,)), services_too=True)  # a service sees its own
NOTES: Final = Right((_READ, (Scope.FULFILLMENT_WRITE,)))
PRINTED: Final = Right(tuple((*each, Scope.CUSTOMERS_READ) for each in NOTES.alternatives))
SUMS: Final = Right((_READ, (Scope.ORDERS_PLACE,), (Scope.PAYMENTS_WRITE,)))
SETTINGS: Final = Right(((Scope.SETTINGS_WRITE,),))
TOKENS: Final = Right(((Scope.TOKENS_WRITE,),))

_CONNECTION: Final = {GIVEN: "edges nodes pageInfo"}
_EDGE: Final = {GIVEN: "node cursor"}
_COUNT: Final = {GIVEN: "status count"}

# A field of `Query` is resolved only for those who hold its right. Mutations and subscriptions check scopes themselves.
RIGHTS: Final[Mapping[str, Mapping[Right, str]]] = {
    "Query": {
        GIVEN: "viewer liveCursor",
        READ: "node order orderByNumber orderByReference orders orderCounts orderEvents channels fulfillmentServices"
        " failedEffects",
        SETTINGS: "automations failingCounterparts",
        TOKENS: "tokens",
    },
    "Order": {
        GIVEN: "id number version source externalReference externalNumber status paymentStatus fulfillmentStatus"
        " placedAt updatedAt confirmedAt shippedAt cancelledAt cancelReason archivedAt heldAt channel availableActions",
        GOODS: "lines fulfillments tracking",
        NOTES: "deliveryNotes",
        SUMS: "subtotal discountTotal shippingTotal taxTotal taxesIncluded total paidTotal refundedTotal outstanding",
        READ: "holdReason locale tags transactions events",
        PERSONAL: "customer billingAddress note",
        DESTINATION: "shippingAddress",
    },
    "OrderLine": {
        GIVEN: "id sku title variantTitle quantity requiresShipping weightGrams removedQuantity fulfillableQuantity"
        " shippedQuantity service",
        SUMS: "unitPrice discountTotal taxTotal total",
        READ: "download",
    },
    "Fulfillment": {
        GIVEN: "id state requestStatus rejection createdAt shippedAt service lines tracking",
        NOTES: "deliveryNote",
    },
    "FulfillmentLine": {GIVEN: "quantity line"},
    "Tracking": {GIVEN: "id number carrier url fulfillmentId createdAt updatedAt"},
    "DeliveryNote": {GIVEN: "id number createdAt locale", NOTES: "fulfillment replaces replacedBy", PRINTED: "url"},
    "Transaction": {READ: "id kind status amount gateway reference failure parentId processedAt"},
    "Customer": {PERSONAL: "id email name phone"},
    "Address": {GIVEN: "name company address1 address2 postalCode city province countryCode phone"},
    "Money": {GIVEN: "amount currencyCode"},
    "Channel": {GIVEN: "id code name"},
    "AvailableAction": {GIVEN: "action available reason code"},
    "OrderEvent": {
        READ: "id cursor type occurredAt actor orderVersion fromStatus toStatus fromPaymentStatus toPaymentStatus"
        " fromFulfillmentStatus toFulfillmentStatus message order data",
    },
    "Actor": {GIVEN: "kind id name"},
    "OrderConnection": _CONNECTION,
    "OrderEdge": _EDGE,
    "OrderEventConnection": _CONNECTION,
    "OrderEventEdge": _EDGE,
    "OrderCounts": {GIVEN: "total archived byStatus byPaymentStatus byFulfillmentStatus"},
    "OrderStatusCount": _COUNT,
    "PaymentStatusCount": _COUNT,
    "FulfillmentStatusCount": _COUNT,
    "PageInfo": {GIVEN: "hasNextPage hasPreviousPage startCursor endCursor"},
    "Viewer": {GIVEN: "name scopes channels allChannels"},
    "FulfillmentService": {GIVEN: "code name", SETTINGS: "email url"},
    "Automation": {SETTINGS: "kind channel enabled"},
    "FailingCounterpart": {
        SETTINGS: "kind fulfillmentService gateway failures failingSince pausedUntil waitingSince error",
    },
    "Effect": {
        GIVEN: "id kind email automation state attempts dueAt createdAt finishedAt order",
        READ: "error",
        PERSONAL: "address",
    },
    "EffectConnection": _CONNECTION,
    "EffectEdge": _EDGE,
    "Token": {
        TOKENS: "id name prefix state scopes allChannels registeredOnly createdAt createdBy expiresAt lastUsedAt"
        " revokedAt revokedBy channels service",
    },
    "TokenConnection": _CONNECTION,
    "TokenEdge": _EDGE,
    "OrderPayload": {GIVEN: "order userErrors"},
    "DeliveryNotePayload": {GIVEN: "deliveryNote order userErrors"},
    "DeliveryNoteResult": {GIVEN: "fulfillmentId deliveryNote userErrors"},
    "DeliveryNotesPayload": {GIVEN: "results url userErrors"},  # url asks for itself: there may be nothing to print
    "AutomationPayload": {GIVEN: "automation userErrors"},
    "FulfillmentServicePayload": {GIVEN: "fulfillmentService secret userErrors"},
    "EffectPayload": {GIVEN: "effect userErrors"},
    "TokenPayload": {GIVEN: "token created userErrors"},
    "TokenSecretPayload": {GIVEN: "token secret userErrors"},
    "UserError": {GIVEN: "code message field fromStatus toStatus currentVersion"},
}


def right_of(field: GraphQLField) -> Right:
    """Return what a caller needs to see the field."""
    right: Right = field.extensions[_RIGHT]
    return right


def apply(schema: GraphQLSchema) -> None:
    """Let each field of the schema be resolved only for callers who may see it.

    Raise `LookupError` if a field has no right in `RIGHTS`, or a right there has no field.
    """
    types = {name: each for name, each in schema.type_map.items() if is_object_type(each)}
    for name, type_ in types.items():
        if type_ in (schema.mutation_type, schema.subscription_type):
            _apply_to(type_, {GIVEN: " ".join(type_.fields)})
        elif not is_introspection_type(type_):
            _apply_to(type_, RIGHTS.get(name, {}))
    if unknown := RIGHTS.keys() - types:
        raise LookupError(f"no such types: {sorted(unknown)}")


def _apply_to(type_: GraphQLObjectType, rights: Mapping[Right, str]) -> None:
    right_by_field = {name: right for right, names in rights.items() for name in names.split()}
    if differing := right_by_field.keys() ^ type_.fields:
        raise LookupError(f"{type_.name}: a field and its right are missing each other: {sorted(differing)}")
    for name, right in right_by_field.items():
        field = type_.fields[name]
        field.extensions[_RIGHT] = right
        if right is not GIVEN:
            assert field.resolve is not None
            field.resolve = _guard(field.resolve, right)


def _guard(resolve: Callable[..., Any], right: Right) -> Callable[..., Any]:
    def guarded(source: Any, info: Any, **arguments: Any) -> Any:
        actor: Actor = info.context.actor
        if right.while_asked and actor.service_id is not None:
            return if_asked(source, info, arguments)
        right.require(actor)
        return resolve(source, info, **arguments)

    async def if_asked(source: Any, info: Any, arguments: dict[str, Any]) -> Any:
        """Resolve a field of an order for a service that has something of it to ship."""
        mine = await info.context.loaders.fulfillments.load(source.row.id)
        if not any(each.state is FulfillmentState.OPEN for each in mine):
            raise Forbidden("A fulfillment service sees this while it is asked to ship something of the order.")
        shown = resolve(source, info, **arguments)
        return await shown if isinstance(shown, Awaitable) else shown

    return guarded
