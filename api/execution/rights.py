"""What a caller needs to see a field. To be allowed a mutation does not mean to see all of its payload.

`apply` checks the rights when graphql-core resolves a field. A plan collects the rights of the fields that it selects,
and checks them once for all its rows.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema, is_introspection_type, is_object_type
from strawberry.schema.schema_converter import GraphQLCoreConverter

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

# A type says in its class variable `RIGHTS` who may see which of its fields. A field of `Query` is resolved only for
# those who hold its right. Mutations and subscriptions check scopes themselves.
Rights = Mapping[Right, str]


def right_of(field: GraphQLField) -> Right:
    """Return what a caller needs to see the field."""
    right: Right = field.extensions[_RIGHT]
    return right


def apply(schema: GraphQLSchema) -> None:
    """Let each field of the schema be resolved only for callers who may see it.

    Raise `LookupError` if a field has no right in its type's `RIGHTS`, or a right there has no field.
    """
    for type_ in schema.type_map.values():
        if is_object_type(type_) and not is_introspection_type(type_):
            checks_scopes = type_ in (schema.mutation_type, schema.subscription_type)
            _apply_to(type_, dict.fromkeys(type_.fields, GIVEN) if checks_scopes else rights_of(type_))


def rights_of(type_: GraphQLObjectType) -> dict[str, Right]:
    """Return the right of each field, by the field's name. A type has those of the classes that it is made of, too."""
    origin: type = type_.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].origin
    return {
        name: right
        for each in origin.__mro__
        for right, names in vars(each).get("RIGHTS", {}).items()
        for name in names.split()
    }


def _apply_to(type_: GraphQLObjectType, rights: Mapping[str, Right]) -> None:
    if differing := rights.keys() ^ type_.fields:
        raise LookupError(f"{type_.name}: a field and its right are missing each other: {sorted(differing)}")
    for name, right in rights.items():
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
