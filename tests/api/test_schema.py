"""The schema as partners read it: everything described, exported, and named as was agreed."""

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    is_introspection_type,
    is_specified_scalar_type,
)

from api.commands.schema import PATH, text
from api.schema.root import schema
from tests.api.test_access import OTHER_MUTATIONS

pytestmark = pytest.mark.wire

TYPES = {
    name: each
    for name, each in schema._schema.type_map.items()
    if not is_introspection_type(each) and not is_specified_scalar_type(each)
}


def descriptions(name: str, each: GraphQLNamedType) -> dict[str, str | None]:
    """Of a type and all in it, by path."""
    found = {name: each.description}
    if isinstance(each, GraphQLEnumType):
        found |= {f"{name}.{value}": one.description for value, one in each.values.items()}
    if isinstance(each, GraphQLInputObjectType):
        found |= {f"{name}.{field}": one.description for field, one in each.fields.items()}
    if isinstance(each, GraphQLObjectType | GraphQLInterfaceType):
        for field, one in each.fields.items():
            found[f"{name}.{field}"] = one.description
            found |= {f"{name}.{field}({key})": argument.description for key, argument in one.args.items()}
    return found


@pytest.mark.parametrize("name", TYPES)
def test_everything_is_described(name: str) -> None:
    for path, description in descriptions(name, TYPES[name]).items():
        assert description, path
        assert description.strip(), path
        assert description[0].isupper() or path.startswith("OrderAction."), path


def test_every_kind_of_type_is_looked_into() -> None:
    assert not any(isinstance(each, GraphQLUnionType) for each in TYPES.values())
    assert len(TYPES) > 60


def test_enums_say_that_they_may_grow() -> None:
    enums = [each for each in TYPES.values() if isinstance(each, GraphQLEnumType)]
    assert len(enums) == 22
    for each in enums:
        assert each.description
        assert "More values may be added" in each.description


def test_the_export_is_up_to_date() -> None:
    """`scripts/schema` writes it anew."""
    assert PATH.read_text(encoding="utf-8") == text()


AGREED: dict[str, dict[str, str]] = {
    "Query": {
        "node(id: ID!)": "Node",
        "order(id: ID!)": "Order",
        "orderByNumber(number: String!)": "Order",
        "orderByReference(channel: String!, externalReference: String!)": "Order",
        "orders(filter: OrderFilter, search: String, sort: OrderSort, first: Int, after: String)": "OrderConnection",
        "orders(last: Int, before: String)": "OrderConnection",
        "orderCounts(filter: OrderFilter)": "OrderCounts",
        "orderEvents(filter: OrderEventFilter, first: Int, after: String)": "OrderEventConnection",
        "channels": "[Channel!]",
        "viewer": "Viewer",
    },
    "Mutation": {
        f"{name}(input: {name[0].upper()}{name[1:]}Input!)": "OrderPayload"
        for name in (
            "placeOrder",
            "confirmOrder",
            "cancelOrder",
            "markReadyToShip",
            "markShipped",
            "addTracking",
            "updateTracking",
            "removeTracking",
            "archiveOrder",
            "unarchiveOrder",
            "addOrderNote",
            "holdOrder",
            "releaseOrder",
            "requestFulfillment",
            "acceptFulfillment",
            "rejectFulfillment",
            "capturePayment",
            "recordPayment",
            "refundPayment",
        )
    }
    | {
        "createDeliveryNote(input: CreateDeliveryNoteInput!)": "DeliveryNotePayload",
        "createDeliveryNotes(input: CreateDeliveryNotesInput!)": "DeliveryNotesPayload",
    },
    "Subscription": {
        "orderStatusChanged(filter: OrderEventFilter, after: String)": "OrderEvent!",
        "orderEvents(filter: OrderEventFilter, after: String)": "OrderEvent!",
        "orderCountsChanged(filter: OrderFilter)": "OrderCounts!",
    },
    "OrderPayload": {"order": "Order", "userErrors": "[UserError!]!"},
    "UserError": {
        "code": "UserErrorCode!",
        "message": "String!",
        "field": "[String!]",
        "fromStatus": "OrderStatus",
        "toStatus": "OrderStatus",
        "currentVersion": "Int",
    },
    "Order": {
        **dict.fromkeys(("id",), "ID!"),
        **dict.fromkeys(("number",), "String!"),
        **dict.fromkeys(("version",), "Int!"),
        **dict.fromkeys(("externalReference", "locale", "note"), "String"),
        **dict.fromkeys(("confirmedAt", "shippedAt", "cancelledAt", "archivedAt"), "DateTime"),
        **dict.fromkeys(("shippingAddress", "billingAddress"), "Address"),
        **dict.fromkeys(("subtotal", "shippingTotal", "taxTotal", "discountTotal", "total"), "Money!"),
        **dict.fromkeys(("paidTotal", "refundedTotal", "outstanding"), "Money!"),
        "channel": "Channel!",
        "source": "OrderSource!",
        "status": "OrderStatus!",
        "paymentStatus": "PaymentStatus!",
        "fulfillmentStatus": "FulfillmentStatus!",
        "placedAt": "DateTime!",
        "cancelReason": "CancelReason",
        "customer": "Customer",
        "lines": "[OrderLine!]!",
        "transactions": "[Transaction!]!",
        "fulfillments": "[Fulfillment!]!",
        "tracking": "[Tracking!]!",
        "deliveryNotes": "[DeliveryNote!]!",
        "tags": "[String!]!",
        "availableActions": "[AvailableAction!]!",
        "events(first: Int, after: String)": "OrderEventConnection!",
    },
    "OrderLine": {
        "sku": "String",
        "title": "String!",
        "variantTitle": "String",
        "quantity": "Int!",
        "unitPrice": "Money!",
        "total": "Money!",
        "requiresShipping": "Boolean!",
        "fulfillableQuantity": "Int!",
    },
    "DeliveryNote": {
        "id": "ID!",
        "number": "String!",
        "createdAt": "DateTime!",
        "locale": "String!",
        "url": "String!",
        "fulfillment": "Fulfillment!",
        "replaces": "DeliveryNote",
    },
    "Fulfillment": {"deliveryNote": "DeliveryNote"},
    "OrderEvent": {
        "id": "ID!",
        "cursor": "String!",
        "type": "OrderEventType!",
        "occurredAt": "DateTime!",
        "actor": "Actor!",
        "orderVersion": "Int!",
        "fromStatus": "OrderStatus",
        "toStatus": "OrderStatus",
        "order": "Order!",
        "message": "String!",
        "data": "JSON",
    },
    "Money": {"amount": "Decimal!", "currencyCode": "String!"},
    "AvailableAction": {
        "action": "OrderAction!",
        "available": "Boolean!",
        "reason": "String",
        "code": "ActionRefusalCode",
    },
    "OrderConnection": {"edges": "[OrderEdge!]!", "nodes": "[Order!]!", "pageInfo": "PageInfo!"},
    "OrderEventConnection": {"edges": "[OrderEventEdge!]!", "nodes": "[OrderEvent!]!", "pageInfo": "PageInfo!"},
}


@pytest.mark.parametrize("name", AGREED)
def test_the_agreed_fields(name: str) -> None:
    """Arguments may have been added, if they can be left out."""
    type_ = TYPES[name]
    assert isinstance(type_, GraphQLObjectType)
    for signature, result in AGREED[name].items():
        field_name, _, rest = signature.partition("(")
        field = type_.fields[field_name]
        assert str(field.type) == result, signature
        agreed = dict(argument.split(": ") for argument in rest.removesuffix(")").split(", ") if argument)
        arguments = {key: str(argument.type) for key, argument in field.args.items()}
        assert {key: arguments.get(key) for key in agreed} == agreed, signature
        assert not any(arguments[key].endswith("!") for key in arguments.keys() - agreed.keys()), signature


AGREED_VALUES = {
    "OrderStatus": {"PENDING", "CONFIRMED", "READY_TO_SHIP", "SHIPPED", "CANCELLED"},
    "PaymentStatus": {
        "PENDING",
        "AUTHORIZED",
        "PARTIALLY_PAID",
        "PAID",
        "PARTIALLY_REFUNDED",
        "REFUNDED",
        "VOIDED",
    },
    "FulfillmentStatus": {"UNFULFILLED", "PARTIALLY_FULFILLED", "FULFILLED"},
    "CancelReason": {"CUSTOMER", "INVENTORY", "FRAUD", "DECLINED", "STAFF", "OTHER"},
    "OrderSource": {"ONLINE", "POS", "MARKETPLACE", "MANUAL"},
    "UserErrorCode": {
        "NOT_FOUND",
        "INVALID_TRANSITION",
        "VERSION_CONFLICT",
        "IDEMPOTENCY_CONFLICT",
        "DUPLICATE_REFERENCE",
        "INVALID_INPUT",
        "NOTHING_TO_SHIP",
    },
}


@pytest.mark.parametrize("name", AGREED_VALUES)
def test_the_agreed_values(name: str) -> None:
    type_ = TYPES[name]
    assert isinstance(type_, GraphQLEnumType)
    assert AGREED_VALUES[name] <= set(type_.values)


def test_every_input_about_an_order_can_be_made_safe_to_repeat() -> None:
    mutation = schema._schema.mutation_type
    assert mutation is not None
    for name, field in mutation.fields.items():
        [argument] = field.args.values()
        type_ = TYPES[str(argument.type).removesuffix("!")]
        assert isinstance(type_, GraphQLInputObjectType)
        given = {key: str(each.type) for key, each in type_.fields.items()}
        if name in OTHER_MUTATIONS:
            continue  # what they do for an order, they do once by nature
        assert given["idempotencyKey"] == "String", name
        if name != "placeOrder":
            assert (given["orderId"], given["expectedVersion"]) == ("ID!", "Int"), name


AGREED_INPUTS = {
    "OrderEventFilter": {
        "orderIds": "[ID!]",
        "channels": "[String!]",
        "types": "[OrderEventType!]",
        "toStatus": "[OrderStatus!]",
    },
    "CreateDeliveryNoteInput": {"orderId": "ID!", "fulfillmentId": "ID", "replaces": "ID", "locale": "String"},
    "CreateDeliveryNotesInput": {"fulfillmentIds": "[ID!]!", "locale": "String"},
    "AddTrackingInput": {
        "orderId": "ID!",
        "number": "String!",
        "carrier": "String",
        "url": "String",
        "fulfillmentId": "ID",
    },
    "CancelOrderInput": {"orderId": "ID!", "reason": "CancelReason!"},
    "CapturePaymentInput": {"orderId": "ID!", "amount": "MoneyInput"},
    "OrderFilter": {
        "and": "[OrderFilter!]",
        "or": "[OrderFilter!]",
        "not": "OrderFilter",
        "status": "[OrderStatus!]",
        "paymentStatus": "[PaymentStatus!]",
        "fulfillmentStatus": "[FulfillmentStatus!]",
        "channels": "[String!]",
        "archived": "Boolean",
        "placedFrom": "DateTime",
        "placedTo": "DateTime",
        "totalFrom": "Decimal",
        "totalTo": "Decimal",
        "tags": "[String!]",
    },
}


@pytest.mark.parametrize("name", AGREED_INPUTS)
def test_the_agreed_inputs(name: str) -> None:
    type_ = TYPES[name]
    assert isinstance(type_, GraphQLInputObjectType)
    given = {key: str(each.type) for key, each in type_.fields.items()}
    assert {key: given.get(key) for key in AGREED_INPUTS[name]} == AGREED_INPUTS[name]


@pytest.mark.parametrize("name", ["Order", "OrderEvent", "Fulfillment", "DeliveryNote", "Channel"])
def test_the_nodes(name: str) -> None:
    type_ = TYPES[name]
    assert isinstance(type_, GraphQLObjectType)
    assert [str(each) for each in type_.interfaces] == ["Node"]
