"""How a mutation of an order is declared, and what it answers."""

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import signature
from typing import Any, ClassVar, Final

import strawberry

import models
from api.execution.context import Info
from api.execution.rights import GIVEN, Rights
from api.schema.mutations import UserError, mutation, user_errors
from api.schema.orders.inputs import OrderInput, order_input
from api.schema.orders.types import Order
from domain.change import Command, Target
from domain.errors import InvalidInput
from domain.orders.queries import get_order, get_refused_order

ORDER_INPUT: Final = "What to do, and with which order."


@strawberry.type(description="What a mutation of an order answers.")
class OrderPayload:
    RIGHTS: ClassVar[Rights] = {GIVEN: "order userErrors"}

    order: Order | None = strawberry.field(
        default=None,
        description="The order as it is now, also where nothing was done; null where it does not exist for the caller.",
    )
    user_errors: list[UserError] = user_errors("Why the mutation was refused; empty where it was carried out.")


def mutation_of_order(
    command: Command[..., Any], description: str, *, input_description: str | None = None, scope_note: str = ""
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Declare a mutation of one order, as `mutation` does, whose input is made of the method's parameters.

    The payload has the order also if the mutation is refused.

    The method has the parameters `info` and `target`, and one for each field of the input besides those that all have
    (see `order_input`). The input's description is the mutation's own, unless it is given.
    """

    def declare(method: Callable[..., Awaitable[Any]]) -> Any:
        parameters = list(signature(method).parameters.values())[3:]  # after self, info and target
        names = [each.name for each in parameters]
        name = "".join(map(str.capitalize, method.__name__.split("_")))

        async def answer(self: Any, info: Info, input: OrderInput) -> Any:
            return await method(self, info, input.target(), **{each: getattr(input, each) for each in names})

        answer.__annotations__["input"] = order_input(f"{name}Input", input_description or description, parameters)
        answer.__annotations__["return"] = method.__annotations__["return"]
        return mutation(
            command,
            description,
            scope_note=scope_note,
            argument_description=ORDER_INPUT,
            load_refused=_load_refused_order,
        )(answer)

    return declare


async def _load_refused_order(info: Info, input: OrderInput) -> dict[str, Any]:
    try:
        key = input.order_key()
    except InvalidInput:
        return {}
    order = await get_refused_order(info.context.actor, key)
    return {"order": Order.of(order) if order else None}


def order_mutation(
    command: Command[..., models.Order],
    description: str,
    *,
    input_description: str | None = None,
    scope_note: str = "",
    settles: bool = False,
) -> Callable[[Callable[..., Awaitable[models.Order]]], Any]:
    """Declare a mutation of one order whose method returns the order. See `mutation` and `mutation_of_order`.

    If it `settles`, the command may ask payment gateways for something. The mutation then waits for their answers, as
    long as `Payments` does, and answers what they refuse beside the order, which is changed nevertheless.
    """

    def declare(method: Callable[..., Awaitable[models.Order]]) -> Any:
        @wraps(method)
        async def answer(self: Any, info: Info, target: Target, **given: Any) -> OrderPayload:
            order: models.Order | None = await method(self, info, target, **given)
            refusals = await info.context.server.payments.settle_act(info.context.actor, target) if settles else []
            if settles and info.context.server.payments.gateways:
                order = await get_order(info.context.actor, target.order_id)
            return OrderPayload(
                order=Order.of(order) if order else None, user_errors=[UserError.of(each) for each in refusals]
            )

        answer.__annotations__ = {**method.__annotations__, "return": OrderPayload}
        return mutation_of_order(command, description, input_description=input_description, scope_note=scope_note)(
            answer
        )

    return declare
