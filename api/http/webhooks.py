"""Webhooks of payment gateways: a gateway says by itself that something has happened to a payment."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.execution.errors import UNAVAILABLE
from api.http.plain import RETRY, TooLarge, read_body, refused, unavailable
from api.service import Service
from effects.payments.gateways import BadSignature, GatewayUnavailable
from effects.payments.providers import PROVIDERS
from models.engine.errors import DatabaseUnavailable

log = logging.getLogger(__name__)


async def receive(request: Request, service: Service) -> Response:
    """Answer an event of the gateway in the path: with 200, and with 400 unless the gateway has signed it.

    Answer 404 if the gateway is not set up. After 503, a gateway sends the event again.
    """
    provider = PROVIDERS.get(request.path_params["gateway"])
    if provider is None:
        raise HTTPException(404)
    name = provider.title
    gateway = service.payments.find_gateway(provider.name)
    if gateway is None or gateway.read_webhook is None:
        return refused(404, f"There are no webhooks of {name}'s here.", "NOT_FOUND")
    try:
        payload = await read_body(request, service.settings.max_body_bytes)
        reference = gateway.read_webhook(payload, request.headers)
        if reference is not None:
            await service.payments.ask_about(provider.name, reference)
    except TooLarge:
        return refused(413, f"This is more than {name} sends.", "BAD_USER_INPUT")
    except BadSignature as error:
        log.warning("a webhook is not %s's: %s", name, error)
        return refused(400, f"The signature is not {name}'s, or too old.", "BAD_USER_INPUT")
    except GatewayUnavailable as error:
        log.warning("%s has news that it does not tell: %s", name, error)
        return refused(503, f"{name} could not be asked what has happened.", UNAVAILABLE, RETRY)
    except DatabaseUnavailable as error:
        return unavailable(error)
    except ClientDisconnect:
        pass  # nobody waits for the answer
    return Response(status_code=200)
