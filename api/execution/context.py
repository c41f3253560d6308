"""What an operation knows of its caller, and of the server that runs it."""

import sys
from asyncio import Task
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

from strawberry.types import Info as StrawberryInfo

from api.callers.open_counts import OpenCounts
from api.callers.rates import Charge, Rates
from api.execution.limits import Budget
from api.execution.loaders import Loaders
from api.execution.persisted import PersistedDocuments
from api.links import Links
from api.metrics import Metrics
from domain.actors import Actor, Scope
from domain.egress import Egress
from domain.orders.counting import Counting
from domain.stream.event_log import Place
from domain.stream.feed import Feed
from effects.delivery_notes.printing import Printing
from effects.payments.payments import Payments

OPERATION: Final = "orderstream.operation"  # where an HTTP request's scope has its `Context`


class Unauthenticated(Exception):
    """The operation needs a token, and there is none, or an invalid one."""

    def __init__(self, message: str = "Send a token: Authorization: Bearer TOKEN.") -> None:
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """The parts of the server that operations use. `create_app` makes them, once for each process.

    A new one is declared here and made there. Resolvers find it as `info.context.server`.
    """

    feed: Feed
    counting: Counting
    metrics: Metrics
    links: Links
    printing: Printing
    payments: Payments
    rates: Rates | None  # None if callers may ask for as much as they like
    open_counts: OpenCounts
    egress: Egress
    persisted_documents: PersistedDocuments


class Context:
    """The context of one operation, or of one answer of a subscription.

    `registered_only` requires a registered document. `introspection` allows queries for the schema.

    Once the document is understood, `operation_kind` is query, mutation or subscription, and `operation_name` is the
    operation's name if it has one. `charge` is what the operation cost, if that is counted. `budget` counts what it
    turns out to cost.

    `live_place` is where the log ended before the operation read anything, if it shows that.

    `work` holds the tasks that go on until they are done, even if the operation is cancelled.
    """

    def __init__(
        self,
        actor: Actor | None,
        caller: str,
        server: Collaborators,
        *,
        registered_only: bool,
        introspection: bool,
    ) -> None:
        self._actor = actor
        self.caller = caller
        self.server = server
        self.charge: Charge | None = None
        self.registered_only = registered_only
        self.introspection = introspection
        self.budget = Budget(0, sys.maxsize)
        self.operation_kind = "unknown"
        self.operation_name: str | None = None
        self.live_place: Place | None = None
        self.renew_loaders()
        self.work: set[Task[Any]] = set()

    def hold(self, work: Task[Any]) -> None:
        """Add to the work of the operation."""
        self.work.add(work)
        work.add_done_callback(self.work.discard)

    def stop(self) -> None:
        """Cancel what the operation loads. Until the loaders have ended, they belong to its work."""
        for batch in self.loaders.cancel():
            self.hold(batch)

    @property
    def actor(self) -> Actor:
        """The caller. Raise `Unauthenticated` if there is none."""
        if self._actor is None:
            raise Unauthenticated
        return self._actor

    @property
    def rights(self) -> Actor | None:
        """What the caller may see and do: equal for two nameless contexts if their callers may do the same."""
        return self._actor

    def nameless(self) -> Self:
        """Return a context for work whose result is shared by all callers with the same rights."""
        shared = copy(self)
        shared._actor = self._actor and self._actor.nameless()
        return shared

    def with_budget(self, budget: Budget) -> Self:
        context = copy(self)
        context.budget = budget
        return context

    def with_loaders(self, loaders: Loaders) -> Self:
        context = copy(self)
        context.loaders = loaders
        return context

    def renew_loaders(self) -> None:
        """Forget what was loaded."""
        self.loaders = Loaders(self._service_id)

    @property
    def _service_id(self) -> UUID | None:
        return None if self._actor is None else self._actor.service_id

    async def pay_again(self) -> None:
        """Take the cost of one more answer of a subscription, when the caller can spare it."""
        if self.server.rates is not None:
            await self.server.rates.take_when_spare(self.caller, self.budget.expected)

    def require(self, scope: Scope, *, services_too: bool = False) -> Actor:
        """Return the caller if it has the scope. Raise `Unauthenticated` and `Forbidden`."""
        self.actor.require(scope, services_too=services_too)
        return self.actor


Info = StrawberryInfo[Context, None]
