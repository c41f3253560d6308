"""API tokens for those who manage them. A secret is shown once, in the answer that created it."""

from datetime import datetime, timedelta
from typing import ClassVar, Self
from uuid import UUID

import strawberry
from strawberry import Private

import models
from api.execution.context import Info
from api.execution.rights import GIVEN, TOKENS, Rights
from api.schema import enums, ids
from api.schema.mutations import UserError, mutation, user_errors
from api.schema.nodes import PageInfo, forward_page
from api.schema.orders import inputs
from api.schema.orders.parts import Channel, FulfillmentService
from api.schema.orders.queries import After, First
from domain import tokens
from domain.errors import InvalidInput
from domain.paging import PageRequest

field = strawberry.field


@strawberry.type(description="A key by which programs call this API. Its secret is shown once, by what has made it.")
class Token:
    RIGHTS: ClassVar[Rights] = {
        TOKENS: "id name prefix state scopes allChannels registeredOnly createdAt createdBy expiresAt"
        " lastUsedAt revokedAt revokedBy channels service",
    }

    row: Private[models.ApiToken]
    id: strawberry.ID = field(description="An opaque id.")
    name: str = field(description="Who uses it: shown on the timeline of what it changes.")
    prefix: str = field(description="What its secret begins with.")
    state: enums.TokenState = field(description="Whether it is good.")
    scopes: list[enums.Scope] = field(description="What it may do.")
    all_channels: bool = field(description="Whether it is good for every channel, also for later ones.")
    registered_only: bool = field(description="Whether it is good for registered documents alone.")
    created_at: datetime = field(description="When it was created.")
    created_by: str | None = field(description="The name of who created it, where that is known.")
    expires_at: datetime | None = field(description="When it ends by itself.")
    last_used_at: datetime | None = field(description="When it was used last, to the minute or two.")
    revoked_at: datetime | None = field(description="When it was revoked.")
    revoked_by: str | None = field(description="The name of who revoked it, where that is known.")

    @classmethod
    def of(cls, row: models.ApiToken) -> Self:
        return cls(
            row=row,
            id=ids.encode("Token", row.id),
            name=row.name,
            prefix=row.prefix,
            state=tokens.state_of(row),
            scopes=tokens.scopes_of(row),
            all_channels=row.channel_ids is None,
            registered_only=row.registered_only,
            created_at=row.created_at,
            created_by=row.created_by,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
            revoked_by=row.revoked_by,
        )

    @field(description="The channels that it is bound to; none where it is good for every channel.")
    async def channels(self, info: Info) -> list[Channel]:
        keys = [UUID(key) for key in self.row.channel_ids or ()]
        return [Channel.of(row) for row in await info.context.loaders.channels.load_many(keys)]

    @field(description="The fulfillment service whose token it is, if it is one's.")
    async def service(self, info: Info) -> FulfillmentService | None:
        if self.row.service_id is None:
            return None
        return FulfillmentService.of(await info.context.loaders.services.load(self.row.service_id))


@strawberry.type(description="A token in a list.")
class TokenEdge:
    RIGHTS: ClassVar[Rights] = {GIVEN: "node cursor"}

    node: Token = field(description="The token.")
    cursor: str = field(description="Its place in the list.")


@strawberry.type(description="A page of tokens, oldest first.")
class TokenConnection:
    RIGHTS: ClassVar[Rights] = {GIVEN: "edges nodes pageInfo"}

    edges: list[TokenEdge] = field(description="The tokens with their cursors.")
    nodes: list[Token] = field(description="The tokens.")
    page_info: PageInfo = field(description="Where the page lies in the list.")

    @classmethod
    def of(cls, page: tokens.TokenPage, after: str | None) -> Self:
        edges = [TokenEdge(node=Token.of(row), cursor=tokens.cursor_of(row)) for row in page.tokens]
        return forward_page(cls, edges, after, page.has_next_page)


@strawberry.input(description="Create a token. You give away no more than you have yourself.")
class CreateTokenInput:
    name: str = field(description="Who uses it: shown on the timeline of what it changes.")
    scopes: list[enums.Scope] = field(description="What it may do.")
    channels: list[str] | None = inputs.optional(
        "The codes of the channels that it is bound to; by default every channel, if you have every channel."
    )
    service: str | None = inputs.optional(
        "The code of the fulfillment service whose token it is: for the scope fulfillment:write alone."
    )
    expires_at: datetime | None = inputs.optional("When it ends by itself; by default never.")
    registered_only: bool | None = field(
        default=False,
        description="Whether it is good for registered documents alone. Where your own token is, it always is.",
    )

    def bound_to(self) -> list[str]:
        """Return the channels' codes. Raise `InvalidInput` for an empty list, which does not mean every channel."""
        if self.channels == []:
            raise InvalidInput("Name a channel, or leave this out for every channel.", "channels")
        return self.channels or []


@strawberry.input(description="Give a token another secret.")
class RotateTokenInput:
    token_id: strawberry.ID = field(description="The token.")
    grace_seconds: int = field(
        default=int(tokens.DEFAULT_GRACE.total_seconds()),
        description="For how long the secret that it had is good besides the new one, and what is open under it stays"
        " open: 0 to 2592000 seconds, by default an hour.",
    )


@strawberry.input(description="End a token for ever.")
class RevokeTokenInput:
    token_id: strawberry.ID = field(description="The token. Once more is no error.")
    with_created: bool = field(
        default=False,
        description="Whether the tokens that it has created end, too, and those that these have created.",
    )


@strawberry.type(description="What createToken and rotateToken answer.")
class TokenSecretPayload:
    RIGHTS: ClassVar[Rights] = {GIVEN: "token secret userErrors"}

    token: Token | None = field(default=None, description="The token as it is now.")
    secret: str | None = field(
        default=None, description="What is sent as `Authorization: Bearer SECRET`. It is not shown again."
    )
    user_errors: list[UserError] = user_errors("Why it was refused; empty where it was carried out.")


@strawberry.type(description="What revokeToken answers.")
class TokenPayload:
    RIGHTS: ClassVar[Rights] = {GIVEN: "token created userErrors"}

    token: Token | None = field(default=None, description="The token as it is now.")
    created: list[Token] = field(
        default_factory=list,
        description="The tokens that it has created, and those that these have created. See withCreated.",
    )
    user_errors: list[UserError] = user_errors("Why it was refused; empty where it was carried out.")


@strawberry.type(description="Everything that can be read of tokens.")
class TokenQueries:
    RIGHTS: ClassVar[Rights] = {TOKENS: "tokens"}

    @strawberry.field(
        description="The tokens that you manage, oldest first: those whose channels are all yours, too. Needs"
        " tokens:write."
    )
    async def tokens(self, info: Info, first: First = None, after: After = None) -> TokenConnection | None:
        request = PageRequest(first=first, after=after)
        return TokenConnection.of(await tokens.token_page(actor=info.context.actor, request=request), after)


@strawberry.type(description="Everything that can be done with tokens.")
class TokenMutations:
    @mutation(tokens.create_token, "Create a token.")
    async def create_token(self, info: Info, input: CreateTokenInput) -> TokenSecretPayload:
        row, secret = await tokens.create_token(
            actor=info.context.actor,
            name=input.name,
            scopes=input.scopes,
            channels=input.bound_to(),
            service=input.service,
            expires_at=input.expires_at,
            registered_only=bool(input.registered_only),
        )
        return TokenSecretPayload(token=Token.of(row), secret=secret)

    @mutation(
        tokens.rotate_token,
        "Give a token another secret: it stays the same token, with its name, scopes and channels. The secret that it"
        " had ends after a grace period.",
        scope_note=", and all that the token may do",
    )
    async def rotate_token(self, info: Info, input: RotateTokenInput) -> TokenSecretPayload:
        row, secret = await tokens.rotate_token(
            actor=info.context.actor,
            token_id=ids.decode("Token", input.token_id, "token_id"),
            grace=timedelta(seconds=input.grace_seconds),
        )
        return TokenSecretPayload(token=Token.of(row), secret=secret)

    @mutation(
        tokens.revoke_token,
        "End a token for ever, your own too: what is open under it is closed within seconds.",
        scope_note=", and all that the token may do",
    )
    async def revoke_token(self, info: Info, input: RevokeTokenInput) -> TokenPayload:
        row = await tokens.revoke_token(
            actor=info.context.actor,
            token_id=ids.decode("Token", input.token_id, "token_id"),
            with_created=input.with_created,
        )
        created = await tokens.created_tokens(actor=info.context.actor, token_id=row.id)
        return TokenPayload(token=Token.of(row), created=list(map(Token.of, created)))
