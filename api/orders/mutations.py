"""Each mutation translates its input and calls one command."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import strawberry

import models
from api import enums, ids
from api.context import Info
from api.execution import INTERNAL, SUCCESS, camel, code_of
from api.loaders import Loaders
from api.orders import inputs
from api.orders.inputs import fulfillment_key, idempotency_of, line_quantities, or_keep, target_of, to_amount
from api.orders.placing import PlaceOrderInput
from api.orders.types import Order
from domain.actors import Scope
from domain.change import VersionConflict
from domain.errors import DomainError
from domain.fulfillments import commands as fulfillments
from domain.fulfillments.commands import TrackingInfo
from domain.orders import commands as orders
from domain.orders.placing import place_order
from domain.orders.rules import InvalidTransition
from domain.payments import commands as payments

field = strawberry.field


@strawberry.type(description="Why a mutation was refused. Nothing was changed.")
class UserError:
    code: enums.ErrorCode = field(description="The reason, for programs.")
    message: str = field(description="The reason, for people.")
    field_path: list[str] | None = field(name="field", description="The path of the input at fault, if one is.")
    from_status: enums.OrderStatus | None = field(description="The order's status, for INVALID_TRANSITION.")
    to_status: enums.OrderStatus | None = field(description="Where the step would have led, for INVALID_TRANSITION.")
    current_version: int | None = field(description="The order's version now, for VERSION_CONFLICT.")

    @classmethod
    def of(cls, refusal: DomainError) -> "UserError":
        transition = refusal if isinstance(refusal, InvalidTransition) else None
        return cls(
            code=refusal.code,
            message=refusal.message,
            field_path=[camel(part) for part in refusal.field] or None,
            from_status=transition.from_status if transition else None,
            to_status=transition.to_status if transition else None,
            current_version=refusal.current_version if isinstance(refusal, VersionConflict) else None,
        )


@strawberry.type(description="What a mutation of an order answers.")
class OrderPayload:
    order: Order | None = field(description="The order as it is now; null where the mutation was refused.")
    user_errors: list[UserError] = field(description="Why the mutation was refused; empty where it was carried out.")


async def answer(info: Info, needed: Scope, command: Callable[[], Awaitable[models.Order]]) -> OrderPayload:
    """Runs a command to its end, even if the caller goes away: what was begun is done and counted.

    Raises `Unauthenticated` and `Forbidden`, both before the input is looked at.
    """
    try:
        order = await asyncio.shield(_counted(info, needed, command))
    except DomainError as refusal:
        return OrderPayload(order=None, user_errors=[UserError.of(refusal)])
    info.context.loaders = Loaders()  # what was loaded for an earlier mutation of the operation may have changed
    return OrderPayload(order=Order.of(order), user_errors=[])


async def _counted(info: Info, needed: Scope, command: Callable[[], Awaitable[models.Order]]) -> models.Order:
    """The outcome is counted here, because the caller may be gone when it is known."""
    outcome = INTERNAL
    try:
        info.context.require(needed)
        order = await command()
        outcome = SUCCESS
        return order
    except DomainError as refusal:
        outcome = refusal.code.name
        raise
    except Exception as error:
        outcome = code_of(error)
        raise
    finally:
        info.context.metrics.mutation(info.field_name, outcome)


_INPUT = strawberry.argument(description="What to do, and with which order.")


@strawberry.type(description="Everything that can be done.")
class OrderMutations:
    @strawberry.mutation(description="Take an order in. Needs orders:place.")
    async def place_order(self, info: Info, input: Annotated[PlaceOrderInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.ORDERS_PLACE,
            lambda: place_order(actor=info.context.actor, new=input.to_domain(), idempotency=idempotency_of(input)),
        )

    @strawberry.mutation(description="Accept an order: PENDING → CONFIRMED. Needs orders:write.")
    async def confirm_order(self, info: Info, input: Annotated[inputs.ConfirmOrderInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.confirm_order(actor=info.context.actor, target=target_of(input)),
        )

    @strawberry.mutation(
        description="Cancel an order that has not shipped. What was authorized by hand is voided. Needs orders:write."
    )
    async def cancel_order(self, info: Info, input: Annotated[inputs.CancelOrderInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.cancel_order(actor=info.context.actor, target=target_of(input), reason=input.reason),
        )

    @strawberry.mutation(description="Open a fulfillment: CONFIRMED → READY_TO_SHIP. Needs fulfillment:write.")
    async def mark_ready_to_ship(
        self, info: Info, input: Annotated[inputs.MarkReadyToShipInput, _INPUT]
    ) -> OrderPayload:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: fulfillments.mark_ready_to_ship(
                actor=info.context.actor, target=target_of(input), lines=line_quantities(input.lines)
            ),
        )

    @strawberry.mutation(
        description="Say that the order, or a part of it, has left. It is SHIPPED once all that is due has."
        " Needs fulfillment:write."
    )
    async def mark_shipped(self, info: Info, input: Annotated[inputs.MarkShippedInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: fulfillments.mark_shipped(
                actor=info.context.actor,
                target=target_of(input),
                lines=line_quantities(input.lines),
                fulfillment_id=fulfillment_key(input),
                tracking=input.tracking_infos(),
            ),
        )

    @strawberry.mutation(description="Add a tracking number, before or after the shipment. Needs fulfillment:write.")
    async def add_tracking(self, info: Info, input: Annotated[inputs.AddTrackingInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: fulfillments.add_tracking(
                actor=info.context.actor,
                target=target_of(input),
                info=TrackingInfo(input.number, input.carrier, input.url),
                fulfillment_id=fulfillment_key(input),
            ),
        )

    @strawberry.mutation(description="Correct a tracking number, its carrier or its link. Needs fulfillment:write.")
    async def update_tracking(self, info: Info, input: Annotated[inputs.UpdateTrackingInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: fulfillments.update_tracking(
                actor=info.context.actor,
                target=target_of(input),
                tracking_id=ids.decode("Tracking", input.tracking_id, "tracking_id"),
                number=input.kept_number(),
                carrier=or_keep(input.carrier),
                url=or_keep(input.url),
            ),
        )

    @strawberry.mutation(description="Take a tracking number away. Needs fulfillment:write.")
    async def remove_tracking(self, info: Info, input: Annotated[inputs.RemoveTrackingInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: fulfillments.remove_tracking(
                actor=info.context.actor,
                target=target_of(input),
                tracking_id=ids.decode("Tracking", input.tracking_id, "tracking_id"),
            ),
        )

    @strawberry.mutation(
        description="Put away an order that is CANCELLED, or SHIPPED and paid in full. Needs orders:write."
    )
    async def archive_order(self, info: Info, input: Annotated[inputs.ArchiveOrderInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.archive_order(actor=info.context.actor, target=target_of(input)),
        )

    @strawberry.mutation(description="Take an order out of the archive. Needs orders:write.")
    async def unarchive_order(self, info: Info, input: Annotated[inputs.UnarchiveOrderInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.unarchive_order(actor=info.context.actor, target=target_of(input)),
        )

    @strawberry.mutation(description="Write below the order's note, and onto its timeline. Needs orders:write.")
    async def add_order_note(self, info: Info, input: Annotated[inputs.AddOrderNoteInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.add_order_note(actor=info.context.actor, target=target_of(input), note=input.note),
        )

    @strawberry.mutation(
        description="Capture what was authorized, or what is outstanding where nothing was. Needs payments:write."
    )
    async def capture_payment(self, info: Info, input: Annotated[inputs.CapturePaymentInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.PAYMENTS_WRITE,
            lambda: payments.capture_payment(
                actor=info.context.actor, target=target_of(input), amount=to_amount(input.amount)
            ),
        )

    @strawberry.mutation(description="Write down money that arrived outside a gateway. Needs payments:write.")
    async def record_payment(self, info: Info, input: Annotated[inputs.RecordPaymentInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.PAYMENTS_WRITE,
            lambda: payments.record_payment(
                actor=info.context.actor,
                target=target_of(input),
                amount=to_amount(input.amount),
                reference=input.reference,
            ),
        )

    @strawberry.mutation(description="Write down money that was given back. Needs payments:write.")
    async def refund_payment(self, info: Info, input: Annotated[inputs.RefundPaymentInput, _INPUT]) -> OrderPayload:
        return await answer(
            info,
            Scope.PAYMENTS_WRITE,
            lambda: payments.refund_payment(
                actor=info.context.actor,
                target=target_of(input),
                amount=to_amount(input.amount),
                reference=input.reference,
            ),
        )
