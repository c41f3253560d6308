"""What each payment provider declares."""

import subprocess
import sys

import pytest

from api.settings import Settings
from domain.egress import PUBLIC_ONLY
from effects.payments.providers import PROVIDERS, open_gateways


@pytest.mark.parametrize("name", PROVIDERS)
def test_its_settings_are_the_server_s(name: str) -> None:
    provider = PROVIDERS[name]
    for name, field in provider.settings.model_fields.items():
        assert name.startswith(f"{provider.name}_")
        assert field.description
        assert Settings.model_fields[name].description == field.description


def test_a_shop_without_a_gateway() -> None:
    """Nothing is opened, and the large libraries of the clients are not loaded."""
    assert open_gateways(Settings(), PUBLIC_ONLY) == []
    clients = [f"effects.payments.{name}.gateway" for name in PROVIDERS]
    code = f"import sys, effects.payments.providers; sys.exit(any(name in sys.modules for name in {clients}))"
    subprocess.run([sys.executable, "-c", code], check=True)
