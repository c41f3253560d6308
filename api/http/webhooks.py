"""What payment gateways tell by themselves, over HTTP and signed."""

import logging

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.execution.execution import UNAVAILABLE
from api.http.plain import RETRY, TooLarge, read_body, refused, unavailable
from api.service import Service
from effects.payments.gateways import BadSignature, GatewayUnavailable
from models.engine.errors import DatabaseUnavailable

log = logging.getLogger(__name__)


async def stripe(request: Request, service: Service) -> Response:
    """An event of Stripe's: 404 where none is expected, 400 unless Stripe has signed it, 200 otherwise.

    With 503, Stripe sends the event again (https://docs.stripe.com/webhooks#retries).
    """
    secret = service.settings.stripe_webhook_secret
    if not secret or "stripe" not in service.payments.gateways:
        return refused(404, "There are no webhooks of Stripe's here.", "NOT_FOUND")
    from effects.payments.stripe_events import concerned  # its library is large: see api/app.py

    try:
        payload = await read_body(request, service.settings.max_body_bytes)
        reference = concerned(payload, request.headers.get("stripe-signature"), secret)
        if reference is not None:
            await service.payments.hear("stripe", reference)
    except TooLarge:
        return refused(413, "This is more than Stripe sends.", "BAD_USER_INPUT")
    except BadSignature as error:
        log.warning("a webhook is not Stripe's: %s", error)
        return refused(400, "The signature is not Stripe's, or too old.", "BAD_USER_INPUT")
    except GatewayUnavailable as error:
        log.warning("Stripe has news that it does not tell: %s", error)
        return refused(503, "Stripe could not be asked what has happened.", UNAVAILABLE, RETRY)
    except DatabaseUnavailable as error:
        return unavailable(error)
    except ClientDisconnect:
        pass  # nobody hears the answer
    return Response(status_code=200)
