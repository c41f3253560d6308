"""Fulfillment services, which pack and ship for the merchant."""

import base64
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from domain.actors import Actor, Scope
from domain.change import command
from domain.counterparts import end_pause, lane_of
from domain.egress import PUBLIC_ONLY, BadDestination, Egress
from domain.errors import InvalidInput
from domain.validation import matching, optional_text, required_text, storable
from models import FulfillmentService
from models.engine.rows import save
from models.enums import EffectKind

LONGEST_CODE: Final = 64
BOTH_SIGN: Final = timedelta(days=1)  # for which a secret that was replaced signs beside the new one
MOST_RETIRED: Final = 5
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what Standard Webhooks has secrets begin with


async def list_services(*, actor: Actor) -> list[FulfillmentService]:
    """Return all services, by code."""
    actor.require(Scope.ORDERS_READ)
    return await FulfillmentService.all().order_by("code")


async def require_service(code: str, *field: str | int) -> FulfillmentService:
    """Return the service of that code. Raise `InvalidInput` if there is none."""
    code = code.strip()
    found = await FulfillmentService.get_or_none(code=code) if storable(code, LONGEST_CODE) else None
    if found is None:
        raise InvalidInput("There is no such fulfillment service.", *field)
    return found


@command(Scope.SETTINGS_WRITE)
async def save_service(
    *,
    actor: Actor,
    code: str,
    name: str,
    email: str | None = None,
    url: str | None = None,
    new_secret: bool = False,
    egress: Egress = PUBLIC_ONLY,
) -> tuple[FulfillmentService, str | None]:
    """Enter a service, or change the one of that code. It is asked at its URL, or by e-mail if it has none.

    Calls to its URL are signed with a secret (Standard Webhooks). It is made when the service first has a URL, and anew
    if `new_secret` is set. It is returned then, and cannot be read again. The secret before it signs beside it for
    `BOTH_SIGN`, so that the service can change over without missing a call.

    `egress` says which URLs may be called. A name is looked up anew for each call, not here.

    Raise `InvalidInput`, also if the caller is bound to channels: a service ships for the whole shop.
    """
    if actor.channel_ids is not None:
        raise InvalidInput("This token is bound to channels, and a fulfillment service is for all of them.", "code")
    code = required_text(code, "code", longest=LONGEST_CODE)
    hint = "A service's code has letters, digits, dots, dashes and underscores only."
    matching(code, r"[A-Za-z0-9][A-Za-z0-9._-]*", hint, "code")
    name = required_text(name, "name", longest=255)
    email = matching(
        optional_text(email, "email", longest=255), r"[^@\s]+@[^@\s]+", "This is not an e-mail address.", "email"
    )
    url = optional_text(url, "url", longest=2048)
    if url is not None:
        try:
            egress.check(url)
        except BadDestination as error:
            raise InvalidInput(str(error), "url") from None
    if url is None and email is None:
        raise InvalidInput("A service needs a URL or an e-mail address at which it is asked.", "url")
    service = await FulfillmentService.get_or_none(code=code) or FulfillmentService(
        code=code, created_at=datetime.now(UTC)
    )
    service.name, service.email, service.url = name, email, url
    made = None
    if url is not None and (new_secret or service.secret is None):
        _retire_secret(service, datetime.now(UTC))
        made = service.secret = _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    await save(service)
    await end_pause(lane_of(EffectKind.FULFILLMENT_REQUEST, code))  # what has been changed may have been what was wrong
    return service, made


def signing_secrets(service: FulfillmentService) -> list[str]:
    """Return the secrets with which a call is signed now, newest first; none if it never had a URL."""
    current = [service.secret] if service.secret else []
    return current + [each["secret"] for each in _still_good(service.retired_secrets or (), datetime.now(UTC))]


def _retire_secret(service: FulfillmentService, now: datetime) -> None:
    if service.secret is not None:
        retired = {"secret": service.secret, "goodUntil": (now + BOTH_SIGN).isoformat()}
        service.retired_secrets = [retired, *_still_good(service.retired_secrets or (), now)][:MOST_RETIRED]


def _still_good(retired: Iterable[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Return those that still sign. One that would for longer than a day was replaced while the clock was ahead."""
    return [each for each in retired if now < datetime.fromisoformat(each["goodUntil"]) <= now + BOTH_SIGN]
