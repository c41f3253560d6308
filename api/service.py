"""What every request handler is handed."""

import asyncio
from dataclasses import dataclass, field

from strawberry.schema import Schema

from api.auth import TokenWatch
from api.metrics import Metrics
from api.settings import Settings
from domain.live import Feed


@dataclass(frozen=True, slots=True)
class Service:
    schema: Schema
    settings: Settings
    feed: Feed
    tokens: TokenWatch
    metrics: Metrics
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set once the server is to end
