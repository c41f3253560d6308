"""The mutations of orders. A mutation has its command's scope, and its parameters make its input."""

from dataclasses import field as private_field
from typing import Annotated, ClassVar
from uuid import UUID

import strawberry

import models
from api.execution.context import Info
from api.execution.rights import GIVEN, PRINTED, Rights
from api.schema import enums, ids
from api.schema.mutations import UserError, mutation, user_errors
from api.schema.orders.declarations import ORDER_INPUT, OrderPayload, mutation_of_order, order_mutation
from api.schema.orders.inputs import (
    LOCALE,
    CreateDeliveryNotesInput,
    LineQuantityInput,
    MoneyInput,
    TrackingInput,
    about,
    idempotency_of,
    line_quantities,
    number_or_keep,
    optional_key,
    or_keep,
    to_amount,
    tracking_infos,
)
from api.schema.orders.parts import DeliveryNote
from api.schema.orders.placing import PlaceOrderInput
from api.schema.orders.types import Order
from domain.change import Target
from domain.delivery_notes import commands as delivery_notes
from domain.fulfillments import commands as fulfillments
from domain.fulfillments import requests
from domain.fulfillments.commands import TrackingInfo
from domain.orders import commands as orders
from domain.orders import placing
from domain.orders.queries import get_order
from domain.payments import commands as payments
from effects.delivery_notes.printing import Printed

field = strawberry.field


_WITHOUT_NOTE = "Why there is no note, or no PDF of it yet; empty where all was done."


@strawberry.type(description="What createDeliveryNote answers.")
class DeliveryNotePayload:
    RIGHTS: ClassVar[Rights] = {GIVEN: "deliveryNote order userErrors"}

    delivery_note: DeliveryNote | None = field(
        default=None,
        description="The fulfillment's delivery note. It is there, and keeps its number, even without a PDF.",
    )
    order: Order | None = field(default=None, description="The order as it is now.")
    user_errors: list[UserError] = user_errors(_WITHOUT_NOTE)


@strawberry.type(description="What became of one fulfillment's delivery note.")
class DeliveryNoteResult:
    RIGHTS: ClassVar[Rights] = {GIVEN: "fulfillmentId deliveryNote userErrors"}

    fulfillment_id: strawberry.ID = field(description="The fulfillment, as it was named.")
    delivery_note: DeliveryNote | None = field(description="Its delivery note.")
    user_errors: list[UserError] = field(description=_WITHOUT_NOTE)

    @classmethod
    def of(cls, printed: Printed) -> "DeliveryNoteResult":
        return cls(
            fulfillment_id=ids.encode("Fulfillment", printed.fulfillment_id),
            delivery_note=DeliveryNote.of(printed.note) if printed.note else None,
            user_errors=[UserError.of(printed.refusal)] if printed.refusal else [],
        )


@strawberry.type(description="What createDeliveryNotes answers.")
class DeliveryNotesPayload:
    RIGHTS: ClassVar[Rights] = {GIVEN: "results url userErrors"}

    results: list[DeliveryNoteResult] = field(
        default_factory=list, description="One for each fulfillment, in the order asked."
    )
    user_errors: list[UserError] = user_errors("Why nothing was done at all; empty where something was.")
    printed: strawberry.Private[list[UUID]] = private_field(default_factory=list)

    @field(
        description="One PDF for the printer, with all notes in the order asked: a link without a token that expires;"
        " null where there is nothing to print. Needs customers:read."
    )
    async def url(self, info: Info) -> str | None:
        if not self.printed:
            return None
        PRINTED.require(info.context.actor)
        return await info.context.server.links.delivery_notes(self.printed)


@strawberry.type(description="Everything that can be done.")
class OrderMutations:
    @mutation(placing.place_order, "Take an order in.", argument_description=ORDER_INPUT)
    async def place_order(self, info: Info, input: PlaceOrderInput) -> OrderPayload:
        order = await placing.place_order(
            actor=info.context.actor, new=input.to_domain(), idempotency=idempotency_of(input)
        )
        return OrderPayload(order=Order.of(order))

    @order_mutation(orders.confirm_order, "Accept an order: PENDING → CONFIRMED.", input_description="Accept an order.")
    async def confirm_order(self, info: Info, target: Target) -> models.Order:
        return await orders.confirm_order(actor=info.context.actor, target=target)

    @order_mutation(
        orders.cancel_order,
        "Cancel an order that has not shipped. What was authorized is voided, unless its gateway is not set up here;"
        " what was paid is given back if that is asked.",
        input_description="Cancel an order that has not shipped.",
        settles=True,
    )
    async def cancel_order(
        self,
        info: Info,
        target: Target,
        reason: Annotated[enums.CancelReason, about("Why.")],
        refund: Annotated[
            bool | None, about("Whether what was paid is given back, the way it came; needs payments:write, too.")
        ] = None,
    ) -> models.Order:
        return await orders.cancel_order(
            actor=info.context.actor,
            target=target,
            reason=reason,
            refund=bool(refund),
            gateways=info.context.server.payments.gateways,
        )

    @order_mutation(
        fulfillments.mark_ready_to_ship,
        "Open a fulfillment: CONFIRMED → READY_TO_SHIP.",
        input_description="Make an order ready to ship.",
    )
    async def mark_ready_to_ship(
        self,
        info: Info,
        target: Target,
        lines: Annotated[
            list[LineQuantityInput] | None, about("What to pack; by default all that no fulfillment holds yet.")
        ] = None,
    ) -> models.Order:
        return await fulfillments.mark_ready_to_ship(
            actor=info.context.actor, target=target, lines=line_quantities(lines)
        )

    @order_mutation(
        fulfillments.mark_shipped,
        "Say that the order, or a part of it, has left. It is SHIPPED once all that is due has.",
        input_description="Say that an order, or a part of it, has left.",
    )
    async def mark_shipped(
        self,
        info: Info,
        target: Target,
        lines: Annotated[
            list[LineQuantityInput] | None,
            about("What has left; by default what is in the open fulfillments, or all that is due where none is open."),
        ] = None,
        fulfillment_id: Annotated[
            strawberry.ID | None, about("The fulfillment that has left; by default every open one.")
        ] = None,
        tracking: Annotated[list[TrackingInput] | None, about("Tracking numbers to add to what leaves.")] = None,
    ) -> models.Order:
        return await fulfillments.mark_shipped(
            actor=info.context.actor,
            target=target,
            lines=line_quantities(lines),
            fulfillment_id=optional_key("Fulfillment", fulfillment_id, "fulfillment_id"),
            tracking=tracking_infos(tracking),
        )

    @mutation_of_order(
        delivery_notes.create_delivery_note,
        "Give a fulfillment its delivery note: a number and a PDF. One that has a note keeps it, unless that is to be"
        " replaced.",
        input_description="Give a fulfillment its delivery note.",
    )
    async def create_delivery_note(
        self,
        info: Info,
        target: Target,
        fulfillment_id: Annotated[
            strawberry.ID | None,
            about(
                "What the note is for; by default the open fulfillment, or the only one. One is opened for all that is"
                " left where none is open."
            ),
        ] = None,
        replaces: Annotated[
            strawberry.ID | None,
            about("A delivery note to be corrected: a new one is created in its place, from the order as it is now."),
        ] = None,
        locale: Annotated[str | None, about(LOCALE)] = None,
    ) -> DeliveryNotePayload:
        printed = await info.context.server.printing.create(
            actor=info.context.actor,
            target=target,
            fulfillment_id=optional_key("Fulfillment", fulfillment_id, "fulfillment_id"),
            replaces=optional_key("DeliveryNote", replaces, "replaces"),
            locale=locale,
        )
        assert printed.note is not None
        result = DeliveryNoteResult.of(printed)
        order = await get_order(info.context.actor, target.order_id)
        return DeliveryNotePayload(
            delivery_note=result.delivery_note,
            order=Order.of(order) if order else None,
            user_errors=result.user_errors,
        )

    @order_mutation(
        fulfillments.add_tracking,
        "Add a tracking number, before or after the shipment.",
        input_description="Add a tracking number.",
    )
    async def add_tracking(
        self,
        info: Info,
        target: Target,
        number: Annotated[str, about("The tracking number.")],
        carrier: Annotated[str | None, about("The carrier's name.")] = None,
        url: Annotated[str | None, about("Where the parcel can be followed: an http or https address.")] = None,
        fulfillment_id: Annotated[
            strawberry.ID | None,
            about(
                "The fulfillment that it belongs to; by default the open one, or the only one. One is opened where"
                " none is."
            ),
        ] = None,
    ) -> models.Order:
        return await fulfillments.add_tracking(
            actor=info.context.actor,
            target=target,
            info=TrackingInfo(number, carrier, url),
            fulfillment_id=optional_key("Fulfillment", fulfillment_id, "fulfillment_id"),
        )

    @order_mutation(
        fulfillments.update_tracking,
        "Correct a tracking number, its carrier or its link.",
        input_description="Correct a tracking number. What is left out stays; null takes the carrier or link away.",
    )
    async def update_tracking(
        self,
        info: Info,
        target: Target,
        tracking_id: Annotated[strawberry.ID, about("The tracking number to correct.")],
        number: Annotated[str | None, about("The right number.")] = strawberry.UNSET,
        carrier: Annotated[str | None, about("The right carrier.")] = strawberry.UNSET,
        url: Annotated[str | None, about("The right link.")] = strawberry.UNSET,
    ) -> models.Order:
        return await fulfillments.update_tracking(
            actor=info.context.actor,
            target=target,
            tracking_id=ids.decode("Tracking", tracking_id, "tracking_id"),
            number=number_or_keep(number),
            carrier=or_keep(carrier),
            url=or_keep(url),
        )

    @order_mutation(fulfillments.remove_tracking, "Take a tracking number away.")
    async def remove_tracking(
        self,
        info: Info,
        target: Target,
        tracking_id: Annotated[strawberry.ID, about("The tracking number to take away.")],
    ) -> models.Order:
        return await fulfillments.remove_tracking(
            actor=info.context.actor, target=target, tracking_id=ids.decode("Tracking", tracking_id, "tracking_id")
        )

    @order_mutation(
        orders.archive_order,
        "Put away an order that is CANCELLED, or SHIPPED and paid in full.",
        input_description="Put an order away.",
    )
    async def archive_order(self, info: Info, target: Target) -> models.Order:
        return await orders.archive_order(actor=info.context.actor, target=target)

    @order_mutation(orders.unarchive_order, "Take an order out of the archive.")
    async def unarchive_order(self, info: Info, target: Target) -> models.Order:
        return await orders.unarchive_order(actor=info.context.actor, target=target)

    @order_mutation(
        orders.add_order_note,
        "Write below the order's note, and onto its timeline.",
        input_description="Write a note below the order's.",
    )
    async def add_order_note(
        self, info: Info, target: Target, note: Annotated[str, about("The text, at most 5,000 characters.")]
    ) -> models.Order:
        return await orders.add_order_note(actor=info.context.actor, target=target, note=note)

    @order_mutation(
        orders.hold_order,
        "Keep automations away from an order until it is released.",
        input_description="Keep automations away from an order.",
    )
    async def hold_order(
        self, info: Info, target: Target, reason: Annotated[str, about("Why, in at most 1,000 characters.")]
    ) -> models.Order:
        return await orders.hold_order(actor=info.context.actor, target=target, reason=reason)

    @order_mutation(
        orders.release_order,
        "Let automations have an order again: they catch up.",
        input_description="Let automations have an order again.",
    )
    async def release_order(self, info: Info, target: Target) -> models.Order:
        return await orders.release_order(actor=info.context.actor, target=target)

    @order_mutation(
        requests.request_fulfillments,
        "Ask the fulfillment services of an order's lines to ship what is left of them.",
        input_description="Ask fulfillment services to ship.",
    )
    async def request_fulfillment(
        self,
        info: Info,
        target: Target,
        service: Annotated[
            str | None, about("The code of the one that is asked; by default all that lines name.")
        ] = None,
    ) -> models.Order:
        return await requests.request_fulfillments(actor=info.context.actor, target=target, service=service)

    @order_mutation(
        requests.accept_fulfillment,
        "A fulfillment service's answer: it will ship.",
        scope_note=", or the service's own token",
        input_description="Say that a requested fulfillment will be shipped.",
    )
    async def accept_fulfillment(
        self, info: Info, target: Target, fulfillment_id: Annotated[strawberry.ID, about("What was requested.")]
    ) -> models.Order:
        key = ids.decode("Fulfillment", fulfillment_id, "fulfillment_id")
        return await requests.accept_fulfillment(actor=info.context.actor, target=target, fulfillment_id=key)

    @order_mutation(
        requests.reject_fulfillment,
        "A fulfillment service's answer: it does not ship, and the units are free again.",
        scope_note=", or the service's own token",
        input_description="Say that a requested fulfillment will not be shipped.",
    )
    async def reject_fulfillment(
        self,
        info: Info,
        target: Target,
        fulfillment_id: Annotated[strawberry.ID, about("What was requested.")],
        reason: Annotated[str, about("Why not, in at most 1,000 characters.")],
    ) -> models.Order:
        key = ids.decode("Fulfillment", fulfillment_id, "fulfillment_id")
        return await requests.reject_fulfillment(
            actor=info.context.actor, target=target, fulfillment_id=key, reason=reason
        )

    @order_mutation(
        payments.capture_payment,
        "Capture what was authorized, or what is outstanding where nothing was.",
        input_description="Take what is outstanding, or part of it.",
        settles=True,
    )
    async def capture_payment(
        self,
        info: Info,
        target: Target,
        amount: Annotated[MoneyInput | None, about("How much; by default what is left.")] = None,
    ) -> models.Order:
        return await payments.capture_payment(
            actor=info.context.actor,
            target=target,
            amount=to_amount(amount),
            gateways=info.context.server.payments.gateways,
        )

    @order_mutation(payments.record_payment, "Write down money that arrived outside a gateway.")
    async def record_payment(
        self,
        info: Info,
        target: Target,
        amount: Annotated[MoneyInput | None, about("How much; by default what is outstanding.")] = None,
        reference: Annotated[str | None, about("The payer's or the bank's reference.")] = None,
    ) -> models.Order:
        return await payments.record_payment(
            actor=info.context.actor, target=target, amount=to_amount(amount), reference=reference
        )

    @order_mutation(
        payments.refund_payment,
        "Give money back the way it came; what no gateway can return is written down as handed back.",
        input_description="Give money back the way it came, the newest payment first.",
        settles=True,
    )
    async def refund_payment(
        self,
        info: Info,
        target: Target,
        amount: Annotated[
            MoneyInput | None, about("How much; by default all that was paid and not given back yet.")
        ] = None,
        reference: Annotated[
            str | None, about("A reference for what is given back by hand; a gateway has its own.")
        ] = None,
    ) -> models.Order:
        return await payments.refund_payment(
            actor=info.context.actor,
            target=target,
            amount=to_amount(amount),
            reference=reference,
            gateways=info.context.server.payments.gateways,
        )

    @order_mutation(
        payments.void_payment,
        "Give up what was authorized and is not captured.",
        settles=True,
    )
    async def void_payment(self, info: Info, target: Target) -> models.Order:
        return await payments.void_payment(
            actor=info.context.actor, target=target, gateways=info.context.server.payments.gateways
        )

    @mutation(
        delivery_notes.create_delivery_note,
        "The delivery notes of up to 100 fulfillments as one file for the printer; those that have none are created.",
        argument_description=ORDER_INPUT,
    )
    async def create_delivery_notes(self, info: Info, input: CreateDeliveryNotesInput) -> DeliveryNotesPayload:
        printed = await info.context.server.printing.create_all(
            actor=info.context.actor, fulfillment_ids=input.keys(), locale=input.locale
        )
        return DeliveryNotesPayload(
            results=[DeliveryNoteResult.of(each) for each in printed],
            printed=[each.note.id for each in printed if each.note and not each.refusal],
        )
