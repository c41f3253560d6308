"""The companies whose payment gateways can be used. Each has a folder beside this file."""

from collections.abc import Mapping
from typing import Final

from domain.egress import Egress
from effects.payments.gateways import Gateway, Provider
from effects.payments.stripe import STRIPE

PROVIDERS: Final[Mapping[str, Provider]] = {each.name: each for each in (STRIPE,)}


def open_gateways(settings: object, egress: Egress) -> list[Gateway]:
    """Return the gateways that are set up. `settings` has the fields of all providers' settings."""
    opened = [
        each.open(each.settings.model_validate(settings, from_attributes=True), egress) for each in PROVIDERS.values()
    ]
    return [gateway for gateway in opened if gateway is not None]
