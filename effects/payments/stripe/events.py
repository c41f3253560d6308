"""Stripe's webhooks. Each event is a bell, not a letter: it says which payment to ask about.

Events arrive late, twice and in any order, so nothing else is taken from them. Stripe repeats those that fail
(https://docs.stripe.com/webhooks#retries).
"""

from collections.abc import Mapping
from typing import Any, Final

import stripe

from effects.payments.gateways import BadSignature

_TYPES: Final = (
    "payment_intent.succeeded",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "charge.captured",
    "charge.refunded",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
)


def find_payment_intent(payload: bytes, headers: Mapping[str, str], *, secret: str) -> str | None:
    """Return the id of the PaymentIntent that an event is about, None for events about something else.

    Raise BadSignature unless the header Stripe-Signature was made with the secret in the last five minutes
    (https://docs.stripe.com/webhooks/signature), and if the payload is not an event.
    """
    signature = headers.get("stripe-signature")
    try:
        event = stripe.Webhook.construct_event(payload, signature, secret).to_dict()
        if event.get("type") not in _TYPES:
            return None
        thing: dict[str, Any] = event["data"]["object"]
        reference = thing["id"] if thing["object"] == "payment_intent" else thing.get("payment_intent")
    except stripe.SignatureVerificationError as error:
        raise BadSignature(str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # what the library makes of other JSON
        raise BadSignature(f"not an event: {error!r}") from error
    return reference if isinstance(reference, str) else None
