"""Each mutation translates its input and calls one command."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

import strawberry

import models
from api.execution.context import Info
from api.execution.rights import PRINTED
from api.schema import ids
from api.schema.mutations import Settlement, UserError, carry_out
from api.schema.orders import inputs
from api.schema.orders.inputs import idempotency_of, line_quantities, optional_key, or_keep, target_of, to_amount
from api.schema.orders.parts import DeliveryNote
from api.schema.orders.placing import PlaceOrderInput
from api.schema.orders.types import Order
from domain.actors import Scope
from domain.change import Target
from domain.errors import DomainError
from domain.fulfillments import commands as fulfillments
from domain.fulfillments.commands import TrackingInfo
from domain.fulfillments.requests import accept_fulfillment, reject_fulfillment, request_fulfillments
from domain.orders import commands as orders
from domain.orders.placing import place_order
from domain.payments import commands as payments
from effects.delivery_notes.printing import Outcome

field = strawberry.field


@strawberry.type(description="What a mutation of an order answers.")
class OrderPayload:
    order: Order | None = field(description="The order as it is now; null where nothing was done.")
    user_errors: list[UserError] = field(description="Why the mutation was refused; empty where it was carried out.")


@strawberry.type(description="What createDeliveryNote answers.")
class DeliveryNotePayload:
    delivery_note: DeliveryNote | None = field(
        description="The fulfillment's delivery note. It is there, and keeps its number, even without a PDF."
    )
    order: Order | None = field(description="The order as it is now.")
    user_errors: list[UserError] = field(
        description="Why there is no note, or no PDF of it yet; empty where all was done."
    )


@strawberry.type(description="What became of one fulfillment's delivery note.")
class DeliveryNoteResult:
    fulfillment_id: strawberry.ID = field(description="The fulfillment, as it was named.")
    delivery_note: DeliveryNote | None = field(description="Its delivery note.")
    user_errors: list[UserError] = field(
        description="Why there is no note, or no PDF of it yet; empty where all was done."
    )

    @classmethod
    def of(cls, outcome: Outcome) -> "DeliveryNoteResult":
        return cls(
            fulfillment_id=ids.encode("Fulfillment", outcome.fulfillment_id),
            delivery_note=DeliveryNote.of(outcome.note) if outcome.note else None,
            user_errors=[UserError.of(outcome.refusal)] if outcome.refusal else [],
        )


@strawberry.type(description="What createDeliveryNotes answers.")
class DeliveryNotesPayload:
    results: list[DeliveryNoteResult] = field(description="One for each fulfillment, in the order asked.")
    user_errors: list[UserError] = field(description="Why nothing was done at all; empty where something was.")
    printed: strawberry.Private[list[UUID]]

    @field(
        description="One PDF for the printer, with all notes in the order asked: a link without a token that expires;"
        " null where there is nothing to print. Needs customers:read."
    )
    async def url(self, info: Info) -> str | None:
        if not self.printed:
            return None
        PRINTED.require(info.context.actor)
        return await info.context.server.links.delivery_notes(self.printed)


async def answer(
    info: Info, needed: Scope, command: Callable[[], Awaitable[models.Order]], *, services_too: bool = False
) -> OrderPayload:
    """The payload of a command that changes an order. Raises `Unauthenticated` and `Forbidden`."""
    try:
        order = await carry_out(info, needed, command, services_too=services_too)
    except DomainError as refusal:
        return OrderPayload(order=None, user_errors=[UserError.of(refusal)])
    return OrderPayload(order=Order.of(order), user_errors=[])


async def settled(
    info: Info, needed: Scope, input: Any, command: Callable[[Target], Awaitable[models.Order]]
) -> OrderPayload:
    """The payload of a command that may ask gateways for something, once they have answered, or for too long not.

    What they refuse is said beside the order, which is changed nevertheless.
    """

    async def settle() -> Settlement:
        target = target_of(input)
        order = await command(target)
        return Settlement(order, await info.context.server.payments.settle_act(info.context.actor, target))

    try:
        settlement = await carry_out(info, needed, settle)
    except DomainError as refusal:
        return OrderPayload(order=None, user_errors=[UserError.of(refusal)])
    order = settlement.order
    if info.context.server.payments.gateways:
        order = await info.context.loaders.orders.load(order.id)
    return OrderPayload(order=Order.of(order), user_errors=[UserError.of(each) for each in settlement.refusals])


_INPUT = strawberry.argument(description="What to do, and with which order.")


@strawberry.type(description="Everything that can be done.")
class OrderMutations:
    @strawberry.mutation(description="Take an order in. Needs orders:place.")
    async def place_order(self, info: Info, input: Annotated[PlaceOrderInput, _INPUT]) -> OrderPayload | None:
        return await answer(
            info,
            Scope.ORDERS_PLACE,
            lambda: place_order(actor=info.context.actor, new=input.to_domain(), idempotency=idempotency_of(input)),
        )

    @strawberry.mutation(description="Accept an order: PENDING → CONFIRMED. Needs orders:write.")
    async def confirm_order(
        self, info: Info, input: Annotated[inputs.ConfirmOrderInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.confirm_order(actor=info.context.actor, target=target_of(input)),
        )

    @strawberry.mutation(
        description="Cancel an order that has not shipped. What was authorized is voided, unless its gateway is not set"
        " up here; what was paid is given back if that is asked. Needs orders:write."
    )
    async def cancel_order(self, info: Info, input: Annotated[inputs.CancelOrderInput, _INPUT]) -> OrderPayload | None:
        return await settled(
            info,
            Scope.ORDERS_WRITE,
            input,
            lambda target: orders.cancel_order(
                actor=info.context.actor,
                target=target,
                reason=input.reason,
                refund=bool(input.refund),
                gateways=info.context.server.payments.gateways,
            ),
        )

    @strawberry.mutation(description="Open a fulfillment: CONFIRMED → READY_TO_SHIP. Needs fulfillment:write.")
    async def mark_ready_to_ship(
        self, info: Info, input: Annotated[inputs.MarkReadyToShipInput, _INPUT]
    ) -> OrderPayload | None:
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
    async def mark_shipped(self, info: Info, input: Annotated[inputs.MarkShippedInput, _INPUT]) -> OrderPayload | None:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: fulfillments.mark_shipped(
                actor=info.context.actor,
                target=target_of(input),
                lines=line_quantities(input.lines),
                fulfillment_id=optional_key("Fulfillment", input.fulfillment_id, "fulfillment_id"),
                tracking=input.tracking_infos(),
            ),
            services_too=True,
        )

    @strawberry.mutation(
        description="Give a fulfillment its delivery note: a number and a PDF. One that has a note keeps it, unless"
        " that is to be replaced. Needs fulfillment:write."
    )
    async def create_delivery_note(
        self, info: Info, input: Annotated[inputs.CreateDeliveryNoteInput, _INPUT]
    ) -> DeliveryNotePayload | None:
        try:
            outcome = await carry_out(
                info,
                Scope.FULFILLMENT_WRITE,
                lambda: info.context.server.printing.create(
                    actor=info.context.actor,
                    target=target_of(input),
                    fulfillment_id=optional_key("Fulfillment", input.fulfillment_id, "fulfillment_id"),
                    replaces=optional_key("DeliveryNote", input.replaces, "replaces"),
                    locale=input.locale,
                ),
            )
        except DomainError as refusal:
            return DeliveryNotePayload(delivery_note=None, order=None, user_errors=[UserError.of(refusal)])
        assert outcome.note is not None
        result = DeliveryNoteResult.of(outcome)
        order = await info.context.loaders.orders.load(outcome.note.order_id)
        return DeliveryNotePayload(
            delivery_note=result.delivery_note, order=Order.of(order), user_errors=result.user_errors
        )

    @strawberry.mutation(description="Add a tracking number, before or after the shipment. Needs fulfillment:write.")
    async def add_tracking(self, info: Info, input: Annotated[inputs.AddTrackingInput, _INPUT]) -> OrderPayload | None:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: fulfillments.add_tracking(
                actor=info.context.actor,
                target=target_of(input),
                info=TrackingInfo(input.number, input.carrier, input.url),
                fulfillment_id=optional_key("Fulfillment", input.fulfillment_id, "fulfillment_id"),
            ),
            services_too=True,
        )

    @strawberry.mutation(description="Correct a tracking number, its carrier or its link. Needs fulfillment:write.")
    async def update_tracking(
        self, info: Info, input: Annotated[inputs.UpdateTrackingInput, _INPUT]
    ) -> OrderPayload | None:
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
            services_too=True,
        )

    @strawberry.mutation(description="Take a tracking number away. Needs fulfillment:write.")
    async def remove_tracking(
        self, info: Info, input: Annotated[inputs.RemoveTrackingInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: fulfillments.remove_tracking(
                actor=info.context.actor,
                target=target_of(input),
                tracking_id=ids.decode("Tracking", input.tracking_id, "tracking_id"),
            ),
            services_too=True,
        )

    @strawberry.mutation(
        description="Put away an order that is CANCELLED, or SHIPPED and paid in full. Needs orders:write."
    )
    async def archive_order(
        self, info: Info, input: Annotated[inputs.ArchiveOrderInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.archive_order(actor=info.context.actor, target=target_of(input)),
        )

    @strawberry.mutation(description="Take an order out of the archive. Needs orders:write.")
    async def unarchive_order(
        self, info: Info, input: Annotated[inputs.UnarchiveOrderInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.unarchive_order(actor=info.context.actor, target=target_of(input)),
        )

    @strawberry.mutation(description="Write below the order's note, and onto its timeline. Needs orders:write.")
    async def add_order_note(
        self, info: Info, input: Annotated[inputs.AddOrderNoteInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.add_order_note(actor=info.context.actor, target=target_of(input), note=input.note),
        )

    @strawberry.mutation(description="Keep automations away from an order until it is released. Needs orders:write.")
    async def hold_order(self, info: Info, input: Annotated[inputs.HoldOrderInput, _INPUT]) -> OrderPayload | None:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.hold_order(actor=info.context.actor, target=target_of(input), reason=input.reason),
        )

    @strawberry.mutation(description="Let automations have an order again: they catch up. Needs orders:write.")
    async def release_order(
        self, info: Info, input: Annotated[inputs.ReleaseOrderInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.ORDERS_WRITE,
            lambda: orders.release_order(actor=info.context.actor, target=target_of(input)),
        )

    @strawberry.mutation(
        description="Ask the fulfillment services of an order's lines to ship what is left of them. Needs"
        " fulfillment:write."
    )
    async def request_fulfillment(
        self, info: Info, input: Annotated[inputs.RequestFulfillmentInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: request_fulfillments(actor=info.context.actor, target=target_of(input), service=input.service),
        )

    @strawberry.mutation(
        description="A fulfillment service's answer: it will ship. Needs fulfillment:write, or the service's own token."
    )
    async def accept_fulfillment(
        self, info: Info, input: Annotated[inputs.AcceptFulfillmentInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: accept_fulfillment(
                actor=info.context.actor,
                target=target_of(input),
                fulfillment_id=ids.decode("Fulfillment", input.fulfillment_id, "fulfillment_id"),
            ),
            services_too=True,
        )

    @strawberry.mutation(
        description="A fulfillment service's answer: it does not ship, and the units are free again. Needs"
        " fulfillment:write, or the service's own token."
    )
    async def reject_fulfillment(
        self, info: Info, input: Annotated[inputs.RejectFulfillmentInput, _INPUT]
    ) -> OrderPayload | None:
        return await answer(
            info,
            Scope.FULFILLMENT_WRITE,
            lambda: reject_fulfillment(
                actor=info.context.actor,
                target=target_of(input),
                fulfillment_id=ids.decode("Fulfillment", input.fulfillment_id, "fulfillment_id"),
                reason=input.reason,
            ),
            services_too=True,
        )

    @strawberry.mutation(
        description="Capture what was authorized, or what is outstanding where nothing was. Needs payments:write."
    )
    async def capture_payment(
        self, info: Info, input: Annotated[inputs.CapturePaymentInput, _INPUT]
    ) -> OrderPayload | None:
        return await settled(
            info,
            Scope.PAYMENTS_WRITE,
            input,
            lambda target: payments.capture_payment(
                actor=info.context.actor,
                target=target,
                amount=to_amount(input.amount),
                gateways=info.context.server.payments.gateways,
            ),
        )

    @strawberry.mutation(description="Write down money that arrived outside a gateway. Needs payments:write.")
    async def record_payment(
        self, info: Info, input: Annotated[inputs.RecordPaymentInput, _INPUT]
    ) -> OrderPayload | None:
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

    @strawberry.mutation(
        description="Give money back the way it came; what no gateway can return is written down as handed back. Needs"
        " payments:write."
    )
    async def refund_payment(
        self, info: Info, input: Annotated[inputs.RefundPaymentInput, _INPUT]
    ) -> OrderPayload | None:
        return await settled(
            info,
            Scope.PAYMENTS_WRITE,
            input,
            lambda target: payments.refund_payment(
                actor=info.context.actor,
                target=target,
                amount=to_amount(input.amount),
                reference=input.reference,
                gateways=info.context.server.payments.gateways,
            ),
        )

    @strawberry.mutation(description="Give up what was authorized and is not captured. Needs payments:write.")
    async def void_payment(self, info: Info, input: Annotated[inputs.VoidPaymentInput, _INPUT]) -> OrderPayload | None:
        return await settled(
            info,
            Scope.PAYMENTS_WRITE,
            input,
            lambda target: payments.void_payment(
                actor=info.context.actor, target=target, gateways=info.context.server.payments.gateways
            ),
        )

    @strawberry.mutation(
        description="The delivery notes of up to 100 fulfillments as one file for the printer; those that have none are"
        " created. Needs fulfillment:write."
    )
    async def create_delivery_notes(
        self, info: Info, input: Annotated[inputs.CreateDeliveryNotesInput, _INPUT]
    ) -> DeliveryNotesPayload | None:
        try:
            outcomes = await carry_out(
                info,
                Scope.FULFILLMENT_WRITE,
                lambda: info.context.server.printing.create_all(
                    actor=info.context.actor, fulfillment_ids=input.keys(), locale=input.locale
                ),
            )
        except DomainError as refusal:
            return DeliveryNotesPayload(results=[], printed=[], user_errors=[UserError.of(refusal)])
        return DeliveryNotesPayload(
            results=[DeliveryNoteResult.of(each) for each in outcomes],
            printed=[each.note.id for each in outcomes if each.note and not each.refusal],
            user_errors=[],
        )
