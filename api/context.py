"""What an operation knows of its caller."""

from typing import Final

from strawberry.types import Info as StrawberryInfo

from api.links import Links
from api.loaders import Loaders
from api.metrics import Metrics
from domain.actors import Actor, Scope
from domain.live import Feed
from effects.delivery_notes.printing import Printing
from effects.payments.payments import Payments

OPERATION: Final = "orderstream.operation"  # where an HTTP request's scope has its `Context`


class Unauthenticated(Exception):
    """The operation needs a token, and there is none, or not a good one."""

    def __init__(self, message: str = "Send a token: Authorization: Bearer TOKEN.") -> None:
        super().__init__(message)


class Context:
    """One operation's. A subscription renews `loaders` for each event.

    Once the document was understood, `operation_kind` is query, mutation or subscription, and `operation_name` the
    operation's name if it has one.
    """

    def __init__(
        self,
        actor: Actor | None,
        *,
        feed: Feed,
        metrics: Metrics,
        links: Links,
        printing: Printing,
        payments: Payments,
    ) -> None:
        self._actor = actor
        self.feed = feed
        self.metrics = metrics
        self.links = links
        self.printing = printing
        self.payments = payments
        self.operation_kind = "unknown"
        self.operation_name: str | None = None
        self.loaders = Loaders()

    @property
    def actor(self) -> Actor:
        """Who asks. Raises `Unauthenticated` for nobody."""
        if self._actor is None:
            raise Unauthenticated
        return self._actor

    def require(self, scope: Scope, *, services_too: bool = False) -> Actor:
        """Who asks, if they have the scope. Raises `Unauthenticated` and `Forbidden`."""
        self.actor.require(scope, services_too=services_too)
        return self.actor


Info = StrawberryInfo[Context, None]
