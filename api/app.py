"""The ASGI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute

from api.callers.oidc import issuer_of
from api.callers.open_counts import OpenCounts
from api.callers.rates import rates_of
from api.callers.tokens import TokenWatch
from api.execution.operations import Operations
from api.execution.persisted import Documents
from api.execution.subscriptions import Live
from api.http import files as documents
from api.http import graphiql, health, origins, webhooks
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
from effects.engine import Engine
from effects.fulfillment_requests import FulfillmentRequests
from effects.mail import settings as mail
from effects.mail.mailing import Mailing
from effects.mail.transport import transport_of
from effects.outgoing import Outgoing
from effects.payments.payments import Payments
from models.engine.database import connected


def create_app(settings: Settings | None = None) -> Starlette:
    """The application for these settings, by default those of the environment. The database must be migrated."""
    settings = settings or Settings()
    feed = Feed(Bell(settings.bell_url), settings.poll_seconds)
    renderer = Renderer(processes=settings.render_processes, seconds=settings.render_seconds)
    metrics = Metrics(settings.metrics)
    operations = Operations(schema, settings, metrics)
    open_counts = OpenCounts(settings)
    admission = Admission(settings, open_counts, metrics)
    issuer = issuer_of(settings)
    service = Service(
        operations=operations,
        live=Live(feed, operations, metrics, open_counts),
        documents=Documents(),
        settings=settings,
        feed=feed,
        counting=Counting(feed, COUNTS_SECONDS),
        tokens=TokenWatch(issuer),
        metrics=metrics,
        links=Links(settings.public_url, settings.link_seconds),
        printing=Printing(delivery_notes.load(settings.delivery_notes_folder), renderer),
        payments=_payments(settings),
        rates=rates_of(settings),
        open_counts=open_counts,
        egress=settings.egress,
    )
    mailing = Mailing(mail.load(settings.mail_folder), transport_of(settings.mail_url), service.links.download)
    requests = FulfillmentRequests(Outgoing(settings.egress))
    engine = Engine(
        feed, [mailing, requests, service.payments, Automations(service.payments)], metrics.count_unplanned_event
    )
    readiness = health.Readiness(service, engine if settings.effects else None)

    async def stop_rendering() -> None:
        """Begin no document once the server is to end. It would not be ready in time."""
        await service.stopping.wait()
        service.printing.stop()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        effects = engine.running() if settings.effects else nullcontext()
        async with connected(settings.database_url), readiness.running(), feed.running(), effects:
            tasks = [asyncio.create_task(service.tokens.run()), asyncio.create_task(stop_rendering())]
            if issuer is not None:
                tasks.append(asyncio.create_task(issuer.keys.run()))
            if settings.metrics:
                tasks.append(asyncio.create_task(service.metrics.run(feed, lambda: engine.lanes)))
            try:
                yield {"stopping": service.stopping, ADMISSION: admission}
            finally:
                for task in tasks:
                    task.cancel()
                await service.tokens.close()
                if service.rates is not None:
                    await service.rates.close()
                await service.printing.close()
                await service.payments.close()
                await requests.close()

    async def delivery_note(request: Request) -> Response:
        return await documents.delivery_note(request, service)

    async def several_delivery_notes(request: Request) -> Response:
        return await documents.delivery_notes(request, service)

    async def download(request: Request) -> Response:
        return await documents.download(request, service)

    async def stripe_events(request: Request) -> Response:
        return await webhooks.stripe(request, service)

    async def figures(request: Request) -> Response:
        service.metrics.observe(feed, engine.lanes)
        return Response(service.metrics.exposition(), media_type=CONTENT_TYPE)

    async def home(request: Request) -> Response:
        return RedirectResponse("graphql")  # relative: a proxy may have added a prefix

    routes: list[Route | Mount | WebSocketRoute] = [
        # They are looked at in turn: what is asked nearly always comes first.
        Route("/graphql", http.GraphQLHTTP(service), methods=["GET", "POST"]),
        WebSocketRoute("/graphql", GraphQLWebSocket(service)),
        Route(DELIVERY_NOTE_PATH, delivery_note),
        Route(DELIVERY_NOTES_PATH, several_delivery_notes),
        Route(DOWNLOAD_PATH, download),
        Route("/", home),
        Route("/webhooks/stripe", stripe_events, methods=["POST"]),
        Route("/healthz", health.alive),
        Route("/readyz", readiness.answer),
    ]
    if settings.metrics:
        routes.append(Route("/metrics", figures))
    if settings.graphiql:
        routes.append(Mount("/graphiql", graphiql.assets()))
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=_middleware(service),
        exception_handlers={HTTPException: http.refuse},
    )
    app.state.service = service
    return app


def _middleware(service: Service) -> list[Middleware]:
    middleware = [Middleware(RequestLog, metrics=service.metrics), Middleware(SecurityHeaders)]
    if service.settings.cors_origins:
        middleware.append(Middleware(CORSMiddleware, **origins.cors(service.settings)))
    return middleware


def _payments(settings: Settings) -> Payments:
    if not settings.stripe_api_key:
        return Payments()
    from effects.payments.stripe_gateway import StripeGateway  # 30 MB that nobody pays for who has no Stripe

    return Payments([StripeGateway(settings.stripe_api_key, settings.stripe_api_base, egress=settings.egress)])
