"""Who acts, and what they may do."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from models.enums import ActorKind
from models.vocabularies import StoredVocabulary


class Scope(StoredVocabulary):
    """What a token may do."""

    ORDERS_READ = "orders:read", "Read orders and their events, without personal data: orders:read."
    CUSTOMERS_READ = (
        "customers:read",
        "See personal data of the orders that you read, such as customers and addresses: customers:read.",
    )
    ORDERS_WRITE = "orders:write", "Confirm, cancel, archive and annotate orders: orders:write."
    ORDERS_PLACE = "orders:place", "Place orders: orders:place."
    FULFILLMENT_WRITE = (
        "fulfillment:write",
        "Make ready, ship and track orders, and create their delivery notes: fulfillment:write.",
    )
    PAYMENTS_WRITE = "payments:write", "Capture, record and refund payments: payments:write."
    SETTINGS_WRITE = "settings:write", "Change settings: settings:write."
    TOKENS_WRITE = "tokens:write", "Manage tokens: tokens:write."


class Forbidden(Exception):
    """Raised if the caller may not do or see something. Its message says why."""

    @classmethod
    def without(cls, scope: Scope) -> Self:
        """Return the error for a caller who lacks the scope."""
        return cls(f"This needs the scope {scope.value}.")

    @classmethod
    def for_services(cls) -> Self:
        """Return the error for a fulfillment service, whatever its scopes are."""
        return cls("A fulfillment service cannot do this.")


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller. `channel_ids` are the only channels that exist for them; `None` means every channel.

    `service_id` is the fulfillment service that calls, for which nothing exists but what it was asked to ship.
    `registered_only` says that they may send registered documents alone. `good_until` is when what the caller has shown
    ends by itself, if it does. `secret_hash` is by which of its secrets an API token was known, which may end before
    the token does.
    """

    kind: ActorKind
    id: str | None
    name: str
    scopes: frozenset[Scope]
    channel_ids: frozenset[UUID] | None = None
    service_id: UUID | None = None
    registered_only: bool = False
    good_until: datetime | None = None
    secret_hash: str | None = field(default=None, repr=False)

    def require(self, scope: Scope, *, services_too: bool = False) -> None:
        """Raise Forbidden if the caller lacks the scope, or is a fulfillment service and this is not for services."""
        if scope not in self.scopes:
            raise Forbidden.without(scope)
        if self.service_id is not None and not services_too:
            raise Forbidden.for_services()

    def nameless(self) -> Self:
        """Return an actor with the same rights and no identity. Results for it are good for all with these rights."""
        return replace(self, kind=ActorKind.TOKEN, id=None, name="", good_until=None, secret_hash=None)

    def sees(self, channel_id: UUID) -> bool:
        return self.channel_ids is None or channel_id in self.channel_ids


def system(name: str) -> Actor:
    """Return the actor of an operator's command, such as an import. It may do everything."""
    return Actor(kind=ActorKind.SYSTEM, id=None, name=name, scopes=frozenset(Scope))
