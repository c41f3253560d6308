"""What every request handler is handed."""

import asyncio
from dataclasses import dataclass, field

from api.callers.open_counts import OpenCounts
from api.callers.rates import Rates, caller_of
from api.callers.tokens import TokenWatch
from api.execution.context import Context
from api.execution.operations import Operations
from api.execution.persisted import Documents
from api.execution.subscriptions import Live
from api.links import Links
from api.metrics import Metrics
from api.settings import Settings
from domain.actors import Actor
from domain.egress import Egress
from domain.orders.counting import Counting
from domain.stream.feed import Feed
from effects.delivery_notes.printing import Printing
from effects.payments.payments import Payments


@dataclass(frozen=True, slots=True)
class Service:
    operations: Operations
    live: Live
    documents: Documents
    settings: Settings
    feed: Feed
    counting: Counting
    tokens: TokenWatch
    metrics: Metrics
    links: Links
    printing: Printing
    payments: Payments
    rates: Rates | None
    open_counts: OpenCounts
    egress: Egress
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set once the server is to end

    def context(self, actor: Actor | None, address: str | None = None) -> Context:
        """For one operation of this caller's. The address is that of one without a token."""
        registered_only = self.settings.documents == "registered" or (actor is not None and actor.registered_only)
        shown = self.settings.introspection == "all" or (self.settings.introspection == "tokens" and actor is not None)
        return Context(
            actor,
            caller_of(actor, address),
            feed=self.feed,
            counting=self.counting,
            metrics=self.metrics,
            links=self.links,
            printing=self.printing,
            payments=self.payments,
            rates=self.rates,
            open_counts=self.open_counts,
            egress=self.egress,
            documents=self.documents,
            registered_only=registered_only,
            introspection=shown and not registered_only,
        )
