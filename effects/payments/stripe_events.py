"""What Stripe tells by itself. Each event is a bell, not a letter: it says which payment to ask about.

Events come late, twice and in any order, so nothing but the fact that something happened is taken from them.
"""

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


def concerned(payload: bytes, signature: str | None, secret: str) -> str | None:
    """The PaymentIntent of which an event brings news; `None` for events that are about something else.

    Raises `BadSignature` unless `signature`, the header Stripe-Signature, was made with the secret in the last five
    minutes (https://docs.stripe.com/webhooks/signature), and for what is no event.
    """
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
