"""The GraphQL schema, which `schema.graphql` shows."""

from typing import Any

import strawberry
from strawberry.extensions import ParserCache, ValidationCache

from api.effects import EffectMutations, EffectQueries
from api.execution import NotesOperation
from api.orders.events import OrderEvent
from api.orders.mutations import OrderMutations
from api.orders.parts import Channel, DeliveryNote, Fulfillment
from api.orders.queries import OrderQueries
from api.orders.subscriptions import OrderSubscriptions
from api.orders.types import Order

CACHED_DOCUMENTS = 512


@strawberry.type(name="Query", description="Everything that can be read.")
class Query(OrderQueries, EffectQueries):
    pass


@strawberry.type(name="Mutation", description="Everything that can be done: one input each, one payload each.")
class Mutation(OrderMutations, EffectMutations):
    pass


@strawberry.type(
    name="Subscription",
    description="Everything that can be followed live, over WebSocket (graphql-transport-ws) or server-sent events.",
)
class Subscription(OrderSubscriptions):
    pass


class Schema(strawberry.Schema):
    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        """`api.execution.present` logs faults, once each and with the id that the client is given."""


schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Order, OrderEvent, Fulfillment, DeliveryNote, Channel],
    extensions=[lambda: ParserCache(CACHED_DOCUMENTS), lambda: ValidationCache(CACHED_DOCUMENTS), NotesOperation],
)
