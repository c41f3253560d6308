"""Queries of orders. Each resolver reads only what exists for its caller. `RIGHTS` says who may ask."""

from collections import Counter
from typing import Annotated, Any, ClassVar

import strawberry

from api.execution.context import Info
from api.execution.rights import GIVEN, READ, Rights
from api.schema import enums, ids
from api.schema.nodes import Node
from api.schema.orders.counts import FulfillmentStatusCount, OrderCounts, OrderStatusCount, PaymentStatusCount
from api.schema.orders.filters import OrderEventFilter, OrderFilter, OrderSort, event_filter
from api.schema.orders.parts import Channel, DeliveryNote, Fulfillment
from api.schema.orders.types import Order, OrderConnection, OrderEvent, OrderEventConnection
from domain import channels
from domain.actors import Actor
from domain.delivery_notes.queries import find_delivery_notes
from domain.orders import queries
from domain.paging import PageRequest
from domain.stream import event_log


def _argument(description: str) -> Any:
    return strawberry.argument(description=description)


Id = Annotated[strawberry.ID, _argument("Its id.")]
After = Annotated[str | None, _argument("The cursor after which the page begins.")]
First = Annotated[int | None, _argument("How many: 1 to 100; by default 50.")]
AfterEvent = Annotated[
    str | None, _argument('The cursor after which the page begins; "now" for the end of the event log.')
]
Filter = Annotated[OrderFilter | None, _argument("Which orders; by default all.")]
EventFilterArgument = Annotated[OrderEventFilter | None, _argument("Which events; by default all.")]


@strawberry.type(description="Whose token this is.")
class Viewer:
    RIGHTS: ClassVar[Rights] = {GIVEN: "name scopes channels allChannels"}

    name: str = strawberry.field(description="The token's name.")
    scopes: list[enums.Scope] = strawberry.field(description="What it may do.")
    channels: list[Channel] = strawberry.field(description="The channels that exist for it.")
    all_channels: bool = strawberry.field(description="Whether it is good for every channel, also for later ones.")


def _counts(counts: Counter[Any], vocabulary: Any, counted: Any) -> list[Any]:
    return [counted(status=status, count=counts[status]) for status in vocabulary]


def show_counts(counts: queries.OrderCounts) -> OrderCounts:
    return OrderCounts(
        total=counts.total,
        archived=counts.archived,
        by_status=_counts(counts.by_status, enums.OrderStatus, OrderStatusCount),
        by_payment_status=_counts(counts.by_payment_status, enums.PaymentStatus, PaymentStatusCount),
        by_fulfillment_status=_counts(counts.by_fulfillment_status, enums.FulfillmentStatus, FulfillmentStatusCount),
    )


async def find_node(actor: Actor, global_id: str) -> Node | None:
    """Return what has this id, if it exists for the actor. Raise `InvalidInput` for a malformed id."""
    type_name, key = ids.split(global_id, "id")
    row: Any
    match type_name:
        case "Order":
            row = await queries.get_order(actor, ids.parse_key(key, "id"))
            return Order.of(row) if row else None
        case "OrderEvent":
            row = await event_log.find(actor, ids.parse_position(key, "id"))
            return OrderEvent.of(row) if row else None
        case "Fulfillment":
            row = await queries.get_fulfillment(actor, ids.parse_key(key, "id"))
            return Fulfillment.of(row) if row else None
        case "DeliveryNote":
            key_ = ids.parse_key(key, "id")
            row = (await find_delivery_notes(actor, [key_])).get(key_)
            return DeliveryNote.of(row) if row else None
        case "Channel":
            row = await queries.get_channel(actor, ids.parse_key(key, "id"))
            return Channel.of(row) if row else None
    return None


@strawberry.type(description="Everything that can be read.")
class OrderQueries:
    RIGHTS: ClassVar[Rights] = {
        GIVEN: "viewer liveCursor",
        READ: "node order orderByNumber orderByReference orders orderCounts orderEvents channels",
    }

    @strawberry.field(
        description="Anything that has a global id: an order, event, fulfillment, delivery note or channel."
    )
    async def node(self, info: Info, id: Id) -> Node | None:
        return await find_node(info.context.actor, id)

    @strawberry.field(
        description="The place in the event log from which to follow what the other fields of this operation show: it"
        " is read before them, so a subscription with after: this cursor misses nothing. An event may be in them"
        " already: compare order.version. Needs no scope."
    )
    async def live_cursor(self, info: Info) -> str:
        place = info.context.live_place
        assert place is not None
        return place.cursor

    @strawberry.field(description="The order with this id.")
    async def order(self, info: Info, id: Id) -> Order | None:
        actor = info.context.actor
        row = await queries.get_order(actor, ids.decode("Order", id, "id"))
        return Order.of(row) if row else None

    @strawberry.field(description="The order with this number.")
    async def order_by_number(
        self, info: Info, number: Annotated[str, _argument("The number, with or without a leading #.")]
    ) -> Order | None:
        row = await queries.get_order_by_number(info.context.actor, number)
        return Order.of(row) if row else None

    @strawberry.field(description="The order that a channel knows by this key.")
    async def order_by_reference(
        self,
        info: Info,
        channel: Annotated[str, _argument("The channel's code.")],
        external_reference: Annotated[str, _argument("The channel's own key.")],
    ) -> Order | None:
        actor = info.context.actor
        row = await queries.get_order_by_reference(actor, channel, external_reference)
        return Order.of(row) if row else None

    @strawberry.field(description="A page of the orders that the filter and the search text mean, newest first.")
    async def orders(
        self,
        info: Info,
        filter: Filter = None,
        search: Annotated[
            str | None,
            _argument(
                "The beginning of a number, external reference, SKU, tracking number, or, with customers:read, the"
                " customer's name or e-mail as the order was placed with it. Case does not matter."
            ),
        ] = None,
        sort: Annotated[OrderSort | None, _argument("How the list is sorted.")] = None,
        first: First = None,
        after: After = None,
        last: Annotated[int | None, _argument("How many, from the end: 1 to 100.")] = None,
        before: Annotated[str | None, _argument("The cursor before which the page ends.")] = None,
    ) -> OrderConnection | None:
        page = await queries.list_orders(
            info.context.actor,
            wanted=filter.to_domain() if filter else None,
            search=search,
            sort=queries.OrderSort(sort.field, sort.direction) if sort else None,
            request=PageRequest(first=first, after=after, last=last, before=before),
        )
        return OrderConnection(page=page)

    @strawberry.field(description="How many orders there are, along each axis: for the tabs of a dashboard.")
    async def order_counts(self, info: Info, filter: Filter = None) -> OrderCounts | None:
        wanted = filter.to_domain() if filter else None
        return show_counts(await queries.count_orders(info.context.actor, wanted))

    @strawberry.field(description="What has happened to orders, oldest first.")
    async def order_events(
        self, info: Info, filter: EventFilterArgument = None, first: First = None, after: AfterEvent = None
    ) -> OrderEventConnection | None:
        wanted = await event_filter(info.context.actor, filter)
        return await OrderEventConnection.page(wanted, first, after)

    @strawberry.field(description="The channels that exist for this token.")
    async def channels(self, info: Info) -> list[Channel] | None:
        actor = info.context.actor
        return [Channel.of(row) for row in await channels.list_channels(actor)]

    @strawberry.field(description="Whose token this is; needs no scope.")
    async def viewer(self, info: Info) -> Viewer | None:
        actor = info.context.actor
        return Viewer(
            name=actor.name,
            scopes=sorted(actor.scopes),
            channels=[Channel.of(row) for row in await channels.list_channels(actor)],
            all_channels=actor.channel_ids is None,
        )
