"""The GraphQL schema, which `schema.graphql` shows."""

import strawberry

from api import rights
from api.effects import EffectMutations, EffectQueries
from api.orders.events import OrderEvent
from api.orders.mutations import OrderMutations
from api.orders.parts import Channel, DeliveryNote, Fulfillment
from api.orders.queries import OrderQueries
from api.orders.subscriptions import OrderSubscriptions
from api.orders.types import Order
from api.tokens import TokenMutations, TokenQueries


@strawberry.type(name="Query", description="Everything that can be read.")
class Query(OrderQueries, EffectQueries, TokenQueries):
    pass


@strawberry.type(name="Mutation", description="Everything that can be done: one input each, one payload each.")
class Mutation(OrderMutations, EffectMutations, TokenMutations):
    pass


@strawberry.type(
    name="Subscription",
    description="Everything that can be followed live, over WebSocket (graphql-transport-ws) or server-sent events.",
)
class Subscription(OrderSubscriptions):
    pass


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Order, OrderEvent, Fulfillment, DeliveryNote, Channel],
)
rights.apply(schema._schema)
