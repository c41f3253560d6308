"""Stripe, by its official library. The library takes 30 MB of memory, so it is imported only if Stripe is used."""

from typing import Final

from pydantic import BaseModel, Field

from domain.egress import Egress
from effects.payments.gateways import ApiUrl, Gateway, Provider


class StripeSettings(BaseModel):
    stripe_api_key: str | None = Field(
        default=None, description="The secret key of the merchant's Stripe account; without it, Stripe is not used."
    )
    stripe_webhook_secret: str | None = Field(
        default=None, description="The secret with which Stripe signs what it sends to /webhooks/stripe."
    )
    stripe_api_base: ApiUrl = Field(
        default=None, description="Where Stripe's API is, for tests; by default https://api.stripe.com."
    )


def _open(settings: StripeSettings, egress: Egress) -> Gateway | None:
    if not settings.stripe_api_key:
        return None
    from effects.payments.stripe.gateway import StripeGateway

    return StripeGateway(
        settings.stripe_api_key,
        settings.stripe_api_base,
        egress=egress,
        webhook_secret=settings.stripe_webhook_secret,
    )


STRIPE: Final = Provider(name="stripe", title="Stripe", settings=StripeSettings, open=_open)
