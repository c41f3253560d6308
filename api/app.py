"""The ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from api.callers.oidc import Issuer, issuer_of
from api.callers.open_counts import OpenCounts
from api.callers.rates import rates_of
from api.callers.token_watch import TokenWatch
from api.execution.operations import DocumentCache, Operations
from api.execution.persisted import PersistedDocuments
from api.execution.subscriptions import Subscriptions
from api.http import files, graphiql, health, origins, webhooks
from api.http import graphql as http
from api.http.admission import ADMISSION, Admission
from api.http.headers import SecurityHeaders
from api.http.logs import RequestLog
from api.http.websocket import GraphQLWebSocket
from api.links import DELIVERY_NOTE_PATH, DELIVERY_NOTES_PATH, DOWNLOAD_PATH, Links
from api.metrics import CONTENT_TYPE, Metrics
from api.schema.orders.subscriptions import COUNTS_SECONDS
from api.schema.root import schema
from api.service import Service
from api.settings import Settings
from domain.orders.counting import Counting
from domain.stream.bell import Bell
from domain.stream.feed import Feed
from effects.automations import Automations
from effects.delivery_notes import settings as delivery_notes
from effects.delivery_notes.printing import Printing
from effects.delivery_notes.renderer import Renderer
from effects.effect import EffectsOfKind
from effects.engine import Engine
from effects.fulfillment_requests import FulfillmentRequests
from effects.mail import settings as mail
from effects.mail.mailing import Mailing
from effects.mail.transport import transport_of
from effects.outgoing import Outgoing
from effects.payments.payments import Payments
from effects.payments.providers import open_gateways
from models.engine.database import connected


def create_app(settings: Settings | None = None, *, documents: DocumentCache | None = None) -> Starlette:
    """Return the application for these settings, by default those of the environment. The database must be migrated.

    Applications in one process, such as those of tests, may share the documents that they have parsed.
    """
    settings = settings or Settings()
    issuer = issuer_of(settings)
    service = _service(settings, issuer, DocumentCache() if documents is None else documents)
    requests = FulfillmentRequests(Outgoing(settings.egress))
    engine = Engine(service.feed, _kinds_of_effects(service, requests), service.metrics.count_unplanned_event)
    readiness = health.Readiness(service, engine if settings.effects else None)
    admission = Admission(settings, service.open_counts, service.metrics)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        effects = engine.running() if settings.effects else nullcontext()
        async with (
            connected(settings.database_url),
            readiness.running(),
            service.feed.running(),
            effects,
            AsyncExitStack() as closing,
        ):
            for part in (requests, service.payments, service.printing, service.rates, service.tokens):
                if part is not None:
                    closing.push_async_callback(part.close)  # the last one is closed first
            with _tasks(_background_work(service, issuer, engine)):
                yield {"stopping": service.stopping, ADMISSION: admission}

    app = Starlette(
        routes=_routes(service, engine, readiness),
        lifespan=lifespan,
        middleware=_middleware(service),
        exception_handlers={HTTPException: http.refuse},
    )
    app.state.service = service
    return app


def _service(settings: Settings, issuer: Issuer | None, documents: DocumentCache) -> Service:
    """Make the parts of the server. This is the only place that knows all of them."""
    feed = Feed(Bell(settings.bell_url), settings.poll_seconds)
    metrics = Metrics(settings.metrics)
    operations = Operations(schema, settings, metrics, documents)
    open_counts = OpenCounts(settings)
    renderer = Renderer(processes=settings.render_processes, seconds=settings.render_seconds)
    return Service(
        operations=operations,
        subscriptions=Subscriptions(feed, operations, metrics, open_counts),
        persisted_documents=PersistedDocuments(),
        settings=settings,
        feed=feed,
        counting=Counting(feed, COUNTS_SECONDS),
        tokens=TokenWatch(issuer),
        metrics=metrics,
        links=Links(settings.public_url, settings.link_seconds),
        printing=Printing(delivery_notes.load(settings.delivery_notes_folder), renderer),
        payments=Payments(open_gateways(settings, settings.egress)),
        rates=rates_of(settings),
        open_counts=open_counts,
        egress=settings.egress,
    )


def _kinds_of_effects(service: Service, requests: FulfillmentRequests) -> list[EffectsOfKind]:
    settings, payments = service.settings, service.payments
    mailing = Mailing(mail.load(settings.mail_folder), transport_of(settings.mail_url), service.links.download)
    return [mailing, requests, payments, Automations(payments)]


def _background_work(service: Service, issuer: Issuer | None, engine: Engine) -> list[Coroutine[Any, Any, None]]:
    """Return what goes on for as long as the server runs."""
    work = [service.tokens.run(), _stop_rendering(service)]
    if issuer is not None:
        work.append(issuer.keys.run())
    if service.settings.metrics:
        work.append(service.metrics.run(service.feed, lambda: engine.lanes))
    return work


@contextmanager
def _tasks(work: Iterable[Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Run these side by side with the block, and cancel them at its end."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _stop_rendering(service: Service) -> None:
    """Begin no document once the server is to end. It would not be ready in time."""
    await service.stopping.wait()
    service.printing.stop()


def _routes(service: Service, engine: Engine, readiness: health.Readiness) -> list[BaseRoute]:
    async def figures(request: Request) -> Response:
        service.metrics.observe(service.feed, engine.lanes)
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE)

    async def home(request: Request) -> Response:
        return RedirectResponse("graphql")  # relative: a proxy may have added a prefix

    routes: list[BaseRoute] = [
        # Starlette tries them in turn, so the busiest comes first.
        Route("/graphql", http.GraphQLHTTP(service), methods=["GET", "POST"]),
        WebSocketRoute("/graphql", GraphQLWebSocket(service)),
        Route(DELIVERY_NOTE_PATH, partial(files.delivery_note, service=service)),
        Route(DELIVERY_NOTES_PATH, partial(files.delivery_notes, service=service)),
        Route(DOWNLOAD_PATH, partial(files.download, service=service)),
        Route("/", home),
        Route("/webhooks/{gateway}", partial(webhooks.receive, service=service), methods=["POST"]),
        Route("/healthz", health.alive),
        Route("/readyz", readiness.answer),
    ]
    if service.settings.metrics:
        routes.append(Route("/metrics", figures))
    if service.settings.graphiql:
        routes.append(Mount("/graphiql", graphiql.assets()))
    return routes


def _middleware(service: Service) -> list[Middleware]:
    middleware = [Middleware(RequestLog, metrics=service.metrics), Middleware(SecurityHeaders)]
    if service.settings.cors_origins:
        middleware.append(Middleware(CORSMiddleware, **origins.cors(service.settings)))
    return middleware
