"""Automations, fulfillment services, and effects that were given up."""

from datetime import datetime
from typing import Any, ClassVar, Final, Self

import strawberry
from strawberry import Private

import models
from api.execution.context import Info
from api.execution.fields import redacted
from api.execution.rights import GIVEN, PERSONAL, READ, SETTINGS, Rights
from api.schema import enums, ids
from api.schema.mutations import UserError, mutation, user_errors
from api.schema.nodes import PageInfo, forward_page
from api.schema.orders import inputs
from api.schema.orders.parts import Channel, FulfillmentService
from api.schema.orders.queries import After, First
from api.schema.orders.types import Order
from api.schema.personal import without_addresses, without_urls
from domain import automations, effects
from domain.counterparts import Trouble, failing_counterparts
from domain.fulfillments.services import list_services, save_service
from domain.paging import PageRequest
from models.vocabularies import stored_word

field = strawberry.field


@strawberry.type(description="Whether a rule acts by itself, in one channel or in the whole shop.")
class Automation:
    RIGHTS: ClassVar[Rights] = {SETTINGS: "kind channel enabled"}

    kind: enums.AutomationKind = field(description="The rule.")
    channel: Channel | None = field(description="Where; null for every channel that has no setting of its own.")
    enabled: bool = field(description="Whether it acts.")

    @classmethod
    def of(cls, row: models.Automation) -> Self:
        channel: Any = row.channel
        return cls(kind=row.kind, channel=Channel.of(channel) if channel else None, enabled=row.enabled)


@strawberry.type(description="Something that is to happen once because of an event.")
class Effect:
    RIGHTS: ClassVar[Rights] = {
        GIVEN: "id kind email automation state attempts dueAt createdAt finishedAt order",
        READ: "error",
        PERSONAL: "address",
    }

    row: Private[models.Effect]
    id: strawberry.ID = field(description="An opaque id.")
    kind: enums.EffectKind = field(description="What kind of thing.")
    email: enums.EmailKind | None = field(description="Which e-mail.")
    address: str | None = field(description="To whom the e-mail goes.")
    automation: enums.AutomationKind | None = field(description="Which rule.")
    state: enums.EffectState = field(description="How far it has come.")
    attempts: int = field(description="How often it was tried.")
    due_at: datetime = field(description="When it is tried next, or was.")
    created_at: datetime = field(description="When it was planned.")
    finished_at: datetime | None = field(description="When it was done or given up.")

    @classmethod
    def of(cls, row: models.Effect) -> Self:
        return cls(
            row=row,
            id=ids.encode("Effect", row.id),
            kind=row.kind,
            email=stored_word(enums.EmailKind, row.subject) if row.kind is enums.EffectKind.EMAIL else None,
            address=row.target if row.kind is enums.EffectKind.EMAIL else None,
            automation=stored_word(enums.AutomationKind, row.subject)
            if row.kind is enums.EffectKind.AUTOMATION
            else None,
            state=row.state,
            attempts=row.attempts,
            due_at=row.due_at,
            created_at=row.created_at,
            finished_at=row.finished_at,
        )

    @field(
        description="What went wrong last. Without e-mail addresses, unless you have customers:read, and without URLs,"
        " unless you have settings:write."
    )
    def error(self, info: Info) -> str | None:
        text: str | None = self.row.error
        if text and not PERSONAL.is_held_by(info.context.actor):
            text = without_addresses(text)
        if text and not SETTINGS.is_held_by(info.context.actor):
            text = without_urls(text)
        return text

    @field(description="The order that it is about.")
    async def order(self, info: Info) -> Order:
        return Order.of(await info.context.loaders.orders.load(self.row.order_id))


@strawberry.type(description="An effect in a list.")
class EffectEdge:
    RIGHTS: ClassVar[Rights] = {GIVEN: "node cursor"}

    node: Effect = field(description="The effect.")
    cursor: str = field(description="Its place in the list.")


@strawberry.type(description="A page of effects, oldest first.")
class EffectConnection:
    RIGHTS: ClassVar[Rights] = {GIVEN: "edges nodes pageInfo"}

    edges: list[EffectEdge] = field(description="The effects with their cursors.")
    nodes: list[Effect] = field(description="The effects.")
    page_info: PageInfo = field(description="Where the page lies in the list.")

    @classmethod
    def of(cls, page: effects.EffectPage, after: str | None) -> Self:
        edges = [EffectEdge(node=Effect.of(row), cursor=effects.cursor_of(row)) for row in page.effects]
        return forward_page(cls, edges, after, page.has_next_page)


@strawberry.type(description="A service outside that effects need and that does not work.")
class FailingCounterpart:
    RIGHTS: ClassVar[Rights] = {
        SETTINGS: "kind fulfillmentService gateway failures failingSince pausedUntil waitingSince error",
    }

    kind: enums.EffectKind = field(description="The kind of effects that need it.")
    fulfillment_service: FulfillmentService | None = field(description="Which fulfillment service it is, if it is one.")
    gateway: str | None = field(description="Which payment gateway it is, if it is one.")
    failures: int = field(description="How often it has failed in a row.")
    failing_since: datetime = field(description="When it failed first.")
    paused_until: datetime | None = field(
        description="Until when nothing is asked of it. Then one effect tries whether it works; retryEffect has that"
        " done at once. Null for one that has not failed often enough to be paused."
    )
    waiting_since: datetime | None = field(description="Since when the first effect that needs it is due.")
    error: str = redacted(
        "What went wrong last. Without e-mail addresses, unless you have customers:read.",
        PERSONAL,
        without_addresses,
        str,
        "row.error",
    )
    row: Private[models.FailingCounterpart]

    @classmethod
    def of(cls, trouble: Trouble) -> Self:
        return cls(
            kind=trouble.kind,
            fulfillment_service=FulfillmentService.of(trouble.service) if trouble.service else None,
            gateway=trouble.counterpart if trouble.kind is enums.EffectKind.PAYMENT else None,
            failures=trouble.row.failures,
            failing_since=trouble.row.failing_since,
            paused_until=trouble.row.paused_until,
            waiting_since=trouble.waiting_since,
            row=trouble.row,
        )


@strawberry.input(description="Turn a rule on or off.")
class UpdateAutomationInput:
    kind: enums.AutomationKind = field(description="The rule.")
    enabled: bool | None = field(
        description="Whether it acts; null takes a channel's own setting away, so that the shop's holds."
    )
    channel: str | None = inputs.optional("The channel's code; by default every channel without a setting of its own.")


@strawberry.input(description="Enter a fulfillment service, or change the one of that code.")
class SaveFulfillmentServiceInput:
    code: str = field(description="Its code: letters, digits, dots, dashes and underscores.")
    name: str = field(description="Its name.")
    email: str | None = inputs.optional("Where it is asked if it has no URL.")
    url: str | None = inputs.optional(
        "Where it is asked: an http or https address that is public, or one that the server's operator has allowed"
        " (EGRESS_ALLOW). User and password in it are refused."
    )
    new_secret: bool = field(
        default=False,
        description="Whether calls are signed with a new secret from now on. For a day, they are also signed with the"
        " one before, so that the service can change over.",
    )


@strawberry.input(description="Have something that was given up tried again.")
class RetryEffectInput:
    effect_id: strawberry.ID = field(description="The effect. One that was not given up stays as it is.")


@strawberry.input(description="Have an e-mail sent once more.")
class ResendEmailInput:
    effect_id: strawberry.ID = field(description="The e-mail: effectId in the data of EMAIL_SENT and EMAIL_FAILED.")


_REFUSED: Final = "Why it was refused; empty where it was carried out."


@strawberry.type(description="What updateAutomation answers.")
class AutomationPayload:
    RIGHTS: ClassVar[Rights] = {GIVEN: "automation userErrors"}

    automation: Automation | None = field(default=None, description="The setting as it is now.")
    user_errors: list[UserError] = user_errors(_REFUSED)


@strawberry.type(description="What saveFulfillmentService answers.")
class FulfillmentServicePayload:
    RIGHTS: ClassVar[Rights] = {GIVEN: "fulfillmentService secret userErrors"}

    fulfillment_service: FulfillmentService | None = field(default=None, description="The service as it is now.")
    secret: str | None = field(
        default=None, description="The secret by which calls are signed, where it is new. It is not shown again."
    )
    user_errors: list[UserError] = user_errors(_REFUSED)


@strawberry.type(description="What retryEffect and resendEmail answer.")
class EffectPayload:
    RIGHTS: ClassVar[Rights] = {GIVEN: "effect userErrors"}

    effect: Effect | None = field(default=None, description="The effect as it is now.")
    user_errors: list[UserError] = user_errors(_REFUSED)


@strawberry.type(description="Everything that can be read of what happens by itself.")
class EffectQueries:
    RIGHTS: ClassVar[Rights] = {
        READ: "fulfillmentServices failedEffects",
        SETTINGS: "automations failingCounterparts",
    }

    @strawberry.field(
        description="The rules that were ever set, for the whole shop and for channels. One that is not listed is off."
        " Needs settings:write."
    )
    async def automations(self, info: Info) -> list[Automation] | None:
        return [Automation.of(row) for row in await automations.list_automations(actor=info.context.actor)]

    @strawberry.field(description="The fulfillment services, by code.")
    async def fulfillment_services(self, info: Info) -> list[FulfillmentService] | None:
        return [FulfillmentService.of(row) for row in await list_services(actor=info.context.actor)]

    @strawberry.field(description="What was given up and waits for a person, oldest first: see retryEffect.")
    async def failed_effects(self, info: Info, first: First = None, after: After = None) -> EffectConnection | None:
        request = PageRequest(first=first, after=after)
        return EffectConnection.of(await effects.failed_effects(info.context.actor, request=request), after)

    @strawberry.field(
        description="The services outside that have failed and not worked since: the mail server, fulfillment services"
        " and payment gateways. After several failures in a row, nothing is asked of one for a while; what needs it"
        " waits and is not given up meanwhile. Needs settings:write."
    )
    async def failing_counterparts(self, info: Info) -> list[FailingCounterpart] | None:
        return [FailingCounterpart.of(each) for each in await failing_counterparts(info.context.actor)]


@strawberry.type(description="Everything that can be done about what happens by itself.")
class EffectMutations:
    @mutation(automations.update_automation, "Turn a rule on or off, in the whole shop or in a channel.")
    async def update_automation(self, info: Info, input: UpdateAutomationInput) -> AutomationPayload:
        row = await automations.update_automation(
            actor=info.context.actor, kind=input.kind, enabled=input.enabled, channel=input.channel
        )
        return AutomationPayload(automation=Automation.of(row))

    @mutation(save_service, "Enter a fulfillment service, or change the one of that code.")
    async def save_fulfillment_service(
        self, info: Info, input: SaveFulfillmentServiceInput
    ) -> FulfillmentServicePayload:
        row, secret = await save_service(
            actor=info.context.actor,
            code=input.code,
            name=input.name,
            email=input.email,
            url=input.url,
            new_secret=input.new_secret,
            egress=info.context.server.egress,
        )
        return FulfillmentServicePayload(fulfillment_service=FulfillmentService.of(row), secret=secret)

    @mutation(
        effects.retry_effect,
        "Have something that was given up tried again, also if what it needs is paused: see failingCounterparts.",
    )
    async def retry_effect(self, info: Info, input: RetryEffectInput) -> EffectPayload:
        key = ids.decode("Effect", input.effect_id, "effect_id")
        return EffectPayload(effect=Effect.of(await effects.retry_effect(actor=info.context.actor, effect_id=key)))

    @mutation(effects.resend_email, "Have an e-mail sent once more.")
    async def resend_email(self, info: Info, input: ResendEmailInput) -> EffectPayload:
        key = ids.decode("Effect", input.effect_id, "effect_id")
        return EffectPayload(effect=Effect.of(await effects.resend_email(actor=info.context.actor, effect_id=key)))
