"""What every request handler gets."""

import asyncio
from dataclasses import dataclass, field

from api.callers.rates import caller_of
from api.callers.token_watch import TokenWatch
from api.execution.context import Collaborators, Context
from api.execution.operations import Operations
from api.execution.subscriptions import Subscriptions
from api.settings import Settings
from domain.actors import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Collaborators):
    """The server's parts: those that operations use, and those that only handlers of requests use."""

    operations: Operations
    subscriptions: Subscriptions
    settings: Settings
    tokens: TokenWatch
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set once the server is to end

    def context(self, actor: Actor | None, address: str | None = None) -> Context:
        """Return the context for one operation of this caller. The address counts for a caller without a token."""
        registered_only = self.settings.documents == "registered" or (actor is not None and actor.registered_only)
        shown = self.settings.introspection == "all" or (self.settings.introspection == "tokens" and actor is not None)
        return Context(
            actor,
            caller_of(actor, address),
            self,
            registered_only=registered_only,
            introspection=shown and not registered_only,
        )
