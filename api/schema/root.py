"""The GraphQL schema, which `schema.graphql` shows."""

import strawberry

from api.execution import rights
from api.schema.effects import EffectMutations, EffectQueries
from api.schema.orders.mutations import OrderMutations
from api.schema.orders.parts import Channel, DeliveryNote, Fulfillment
from api.schema.orders.queries import OrderQueries
from api.schema.orders.subscriptions import OrderSubscriptions
from api.schema.orders.types import Order, OrderEvent
from api.schema.tokens import TokenMutations, TokenQueries


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
