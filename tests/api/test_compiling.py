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
    OperationDefinitionNode,
    VariableValues,
    get_variable_values,
    parse,
    print_ast,
    validate,
)
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api import ids
from api.compiling import Plan, Plans
from api.context import Context
from api.orders.events import OrderEvent as ShownEvent
from api.schema import schema
from domain.delivery_notes.commands import create_delivery_note
from domain.fulfillments.commands import TrackingInfo, mark_ready_to_ship, mark_shipped
from domain.orders.commands import cancel_order, confirm_order, hold_order
from domain.orders.placing import NewAddress, NewCustomer
from domain.payments.commands import Amount, refund_payment
from models import Channel, DeliveryNote, Fulfillment, Order, OrderEvent
from models.enums import CancelReason, OrderSource
from tests.api.random_documents import RandomDocument
from tests.clients import Server
from tests.conftest import Fill
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
        assert plan is not None, print_ast(self.document)
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

    def plan(self) -> tuple[Plan | None, VariableValues]:
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


@pytest.mark.wire
@pytest.mark.parametrize(
    "text", ["{ __schema { types { name } } }", "mutation { confirmOrder(input: {}) { order { id } } }"]
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
