"""What plans make is what graphql-core makes, to the byte."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import Any, cast

import orjson
import pytest
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    VariableValues,
    get_argument_values,
    get_variable_values,
    parse,
    print_ast,
    validate,
)
from strawberry.exceptions import StrawberryGraphQLError
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments

from api.execution.arguments import Arguments
from api.execution.context import Context
from api.execution.execution import run
from api.execution.executor import prepare
from api.execution.plan import MutationPlan, Plan
from api.execution.plans import Plans
from api.execution.requests import Request
from api.schema import ids
from api.schema.orders.types import OrderEvent as ShownEvent
from api.schema.root import schema
from domain.actors import Scope
from domain.delivery_notes.commands import create_delivery_note
from domain.fulfillments.commands import TrackingInfo, mark_ready_to_ship, mark_shipped
from domain.orders.commands import cancel_order, confirm_order, hold_order
from domain.orders.placing import NewAddress, NewCustomer
from domain.payments.commands import Amount, refund_payment
from domain.stream.event_log import last_place
from models import Channel, DeliveryNote, Fulfillment, Order, OrderEvent
from models.enums import CancelReason, OrderSource
from tests.api.random_documents import RandomDocument
from tests.clients import Server
from tests.conftest import Fill
from tests.database import run_sql, statements
from tests.domain.shop import ADA, ISSUER, SOCKS, authorized, on, paid, place, units

DOCUMENTS = 40
CORE = schema._schema


async def some_of_everything() -> None:
    address = NewAddress(name="Zoë", city="Zürich", country_code="CH")
    for index in range(4):
        order = await place(
            channel=f"shop-{index % 2}",
            source=OrderSource.POS if index == 3 else OrderSource.ONLINE,
            external_reference=f"ref-{index}",
            currency=("CHF", "JPY", "KWD", "CHF")[index],
            lines=[
                replace(SOCKS, unit_price=Decimal(10 + index)),
                SOCKS if index == 0 else replace(SOCKS, sku=None, unit_price=Decimal(3)),
            ],
            customer=None if index == 3 else NewCustomer(name=f"Buyer {index}", email=f"buyer{index}@example.com"),
            shipping_address=None if index == 3 else address,
            billing_address=address if index == 1 else None,
            tags=("one", f"t{index}"),
            payments=(paid("5"),) if index < 2 else (authorized("5"),),
        )
        if index == 0:
            await confirm_order(actor=ADA, target=on(order))
            await mark_shipped(actor=ADA, target=on(order), lines=await units(order, 1), tracking=[TrackingInfo("T-1")])
            await mark_ready_to_ship(actor=ADA, target=on(order))
            await create_delivery_note(actor=ADA, target=on(order), issuer=ISSUER)
            await hold_order(actor=ADA, target=on(order), reason="A look first")
        elif index == 1:
            await refund_payment(actor=ADA, target=on(order), amount=Amount(Decimal(2)))
        elif index == 2:
            await cancel_order(actor=ADA, target=on(order), reason=CancelReason.STAFF)


@pytest.fixture
def fill() -> Fill:
    return some_of_everything


async def known_values() -> dict[str, list[Any]]:
    """For each argument what it may be given: things that are there, things that are not, and what is no id at all."""
    keys: list[tuple[str, Any]] = [
        (model.__name__, row.pk)
        for model in (Order, Fulfillment, DeliveryNote, Channel)
        for row in await model.all().limit(2)
    ]
    keys.append(("OrderEvent", (await OrderEvent.all().order_by("id").limit(1))[0].id))
    return {
        "id": [ids.encode(*each) for each in keys] + ["nonsense"],
        "number": ["1001", "7"],
        "channel": ["shop-0", "elsewhere"],
        "externalReference": ["ref-0"],
        "filter": [None],
        "search": ["buyer", None],
        "sort": [{"field": "TOTAL", "direction": "ASC"}, {"field": "UPDATED_AT"}],
        "first": [1, 3, None],
        "after": [None],
    }


@dataclass
class Both:
    """One operation, executed by a plan and by graphql-core."""

    document: DocumentNode
    variables: dict[str, Any]
    context: Callable[[], Context]

    async def have_the_same(self, root_value: Any = None) -> bool:
        """Whether there is data to compare. Where graphql-core has errors, the plan must have given up."""
        plan, variables = self.plan()
        assert isinstance(plan, Plan), print_ast(self.document)
        executor = self._executor(root_value)
        expected = executor.execute_operation(False)
        if executor.is_awaitable(expected):
            expected = await expected
        assert isinstance(expected, ExecutionResult)
        try:
            [made] = await plan.data([root_value], self.context(), variables)
        except Exception:
            assert expected.errors, print_ast(self.document)
            return False
        assert not expected.errors, print_ast(self.document)
        assert orjson.dumps(made) == orjson.dumps(expected.data), print_ast(self.document)
        return True

    def plan(self) -> tuple[Plan | MutationPlan | None, VariableValues]:
        operation = self.document.definitions[0]
        assert isinstance(operation, OperationDefinitionNode)
        variables = get_variable_values(CORE, operation.variable_definitions or (), self.variables)
        assert not isinstance(variables, list), variables
        return Plans(CORE, self.document, operation).find(variables), variables

    def _executor(self, root_value: Any) -> Any:
        executor = StrawberryGraphQLCoreExecutionContext.build(
            CORE,
            self.document,
            root_value,
            self.context(),
            self.variables,
            is_awaitable=cast(Any, optimized_is_awaitable),
        )
        assert not isinstance(executor, list), executor
        return executor


def valid(text: str) -> DocumentNode | None:
    """Not all are: such as two fields of one name whose types are not alike."""
    document = parse(text)
    return None if validate(CORE, document) else document


async def test_queries_have_the_same_answer(server: Server) -> None:
    actor, values, compared = await server.actor(), await known_values(), 0
    for seed in range(DOCUMENTS):
        random = RandomDocument(CORE, Random(seed), values)
        if document := valid(random.query(deepest=4)):
            both = Both(document, random.variables, lambda: server.service.context(actor))
            compared += await both.have_the_same()
    assert compared > DOCUMENTS / 2


async def test_events_have_the_same_answer(server: Server) -> None:
    actor, values, compared = await server.actor(), await known_values(), 0
    for seed, row in enumerate(await OrderEvent.all().order_by("id")):
        random = RandomDocument(CORE, Random(seed), values)
        if document := valid(random.subscription("orderEvents", deepest=3)):
            both = Both(document, random.variables, lambda: server.service.context(actor))
            compared += await both.have_the_same(ShownEvent.of(row))
    assert compared > 10


async def test_mutations_have_the_same_answer(server: Server) -> None:
    """Of one that changes nothing any more, so that both show the same order."""
    actor, values = await server.actor(), await known_values()
    order = await Order.get(number=1001)
    given = {"input": {"orderId": ids.encode("Order", order.id), "reason": "Once more"}}
    for seed in range(DOCUMENTS):
        random = RandomDocument(CORE, Random(seed), values)
        text = random.mutation("holdOrder", given, deepest=4)
        operation = server.service.operations.find(Request(text), introspection=True)
        if not operation.errors:
            request = Request(text, random.variables)
            planned = await run(operation, request, server.service.context(actor))
            context = server.service.context(actor)
            context.live_place = await last_place()
            executor = prepare(operation, operation.variables(request.variables), context)
            expected = await executor.execute_operation(False)  # type: ignore[misc]
            assert not expected.errors, text
            assert planned.as_json() == orjson.dumps({"data": expected.data}), text
    assert await OrderEvent.filter(order_id=order.id).count() == order.version


def mutation_fields() -> list[str]:
    assert CORE.mutation_type
    return list(CORE.mutation_type.fields)


@pytest.mark.wire
@pytest.mark.parametrize("name", mutation_fields())
def test_resolvers_are_given_what_strawberry_gives_them(name: str) -> None:
    """By literals and by variables, with and without what is optional."""
    assert CORE.mutation_type
    field, converter = CORE.mutation_type.fields[name], schema.schema_converter
    definition = field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
    for seed in range(DOCUMENTS):
        random = RandomDocument(CORE, Random(seed), {})
        given = {each: random.input(argument.type) for each, argument in field.args.items()}
        operation = parse(random.mutation(name, given, deepest=1)).definitions[0]
        assert isinstance(operation, OperationDefinitionNode)
        node = operation.selection_set.selections[0]
        assert isinstance(node, FieldNode)
        variables = get_variable_values(CORE, operation.variable_definitions or (), random.variables)
        assert isinstance(variables, VariableValues)
        try:
            values = get_argument_values(field, node, variables)
        except GraphQLError:
            with pytest.raises(GraphQLError):
                Arguments(field, node, definition, converter).of(variables)
            continue
        try:
            expected = convert_arguments(values, definition.arguments, converter.scalar_registry, converter.config)
        except StrawberryGraphQLError:  # null for what may only be left out: the document would not be valid
            continue
        assert Arguments(field, node, definition, converter).of(variables) == expected, (given, random.variables)


ADD_NOTE = "mutation ($input: AddOrderNoteInput!) { addOrderNote(input: $input) { order { version note } } }"


async def test_what_a_plan_cannot_show_is_not_done_twice(server: Server) -> None:
    """A plan shows all that is selected or nothing. If the caller may not see a part, graphql-core shows the rest."""
    order = await Order.get(number=1002)
    given = {"input": {"orderId": ids.encode("Order", order.id), "note": "Once"}}
    answer = await server.send(ADD_NOTE, given, await server.new_token(Scope.ORDERS_WRITE))
    assert answer["data"] == {"addOrderNote": {"order": {"version": order.version + 1, "note": None}}}
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]) == (["addOrderNote", "order", "note"], {"code": "FORBIDDEN"})
    assert (await Order.get(id=order.id)).note == "Once"


async def test_a_mutation_that_fails_is_not_tried_again_by_graphql_core(server: Server) -> None:
    order = await Order.get(number=1002)
    await run_sql("ALTER TABLE order_events RENAME TO away")
    given = {"input": {"orderId": ids.encode("Order", order.id), "note": "Once"}}
    with statements() as sent:
        answer = await server.send(ADD_NOTE, given)
    [error] = answer["errors"]
    assert (answer["data"], error["path"]) == ({"addOrderNote": None}, ["addOrderNote"])
    assert error["extensions"]["code"] == "INTERNAL"
    assert sum('INSERT INTO "order_events"' in each.sql for each in sent) == 1


@pytest.mark.wire
@pytest.mark.parametrize(
    "text",
    [
        "{ __schema { types { name } } }",
        "mutation { __typename }",
        'mutation ($no: Boolean = false) { confirmOrder(input: { orderId: "" }) @include(if: $no) { __typename } }',
        'mutation { a: confirmOrder(input: { orderId: "" }) { __typename } b: confirmOrder(input: { orderId: "" })'
        " { __typename } }",
    ],
)
async def test_what_plans_do_not_know_is_not_compiled(server: Server, text: str) -> None:
    actor = await server.actor()
    both = Both(parse(text), {}, lambda: server.service.context(actor))
    assert both.plan()[0] is None


@pytest.mark.wire
async def test_each_choice_of_what_is_skipped_has_a_plan(server: Server) -> None:
    """The document is remembered, and so are its plans."""
    query = "query ($a: Boolean!, $b: Boolean = true) { viewer { name @skip(if: $a) allChannels @include(if: $b) } }"
    choices = [
        (True, True, ["allChannels"]),
        (False, True, ["name", "allChannels"]),
        (True, False, []),
        (False, False, ["name"]),
    ]
    for a, b, fields in 2 * choices:
        assert list((await server.ask(query, {"a": a, "b": b}))["viewer"]) == fields
    assert list((await server.ask(query, {"a": False}))["viewer"]) == ["name", "allChannels"]
