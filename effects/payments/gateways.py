"""What a payment gateway must be able to do.

The built-in `manual` is not a gateway in this sense, because nobody is called: people move the money.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from uuid import UUID

from pydantic import AfterValidator, BaseModel

from domain.egress import Egress, callable_url
from domain.payments.settling import Settled
from effects.effect import CounterpartFailed
from models.enums import TransactionKind

ApiUrl = Annotated[str | None, AfterValidator(lambda url: callable_url(url) if url else None)]


class GatewayRefused(Exception):
    """The gateway refuses the request, and would refuse it again. The message is for people, in the gateway's words."""


class GatewayUnavailable(Exception):
    """The outcome is unknown. The gateway must be asked again later."""


class GatewayDown(GatewayUnavailable, CounterpartFailed):
    """The outcome is unknown, and the gateway is at fault: other requests would fail, too."""


class BadSignature(Exception):
    """A webhook does not come from the gateway, or is too old."""


@dataclass(frozen=True, slots=True)
class Request:
    """A capture, void or refund. `key` is the transaction's, the same however often it is requested.

    `amount` is in minor units of `currency` (ISO 4217), and so is `captured`: what was captured from the same
    authorization before. `reference` is the gateway's own for what is captured from, voided or refunded.
    """

    key: UUID
    kind: TransactionKind
    amount: int
    currency: str
    reference: str | None
    captured: int = 0


class ReadWebhook(Protocol):
    def __call__(self, payload: bytes, headers: Mapping[str, str]) -> str | None:
        """Return the reference of the payment that an event is about, None for events about something else.

        Nothing else of the event is used: the gateway is asked what has happened. Raise BadSignature.
        """
        ...


class Gateway(Protocol):
    """A client of a merchant's account. No transaction of the database is open while a method runs.

    `find`, `capture`, `void` and `refund` raise GatewayRefused, and GatewayUnavailable if the outcome is unknown.
    """

    @property
    def name(self) -> str: ...

    async def find(self, request: Request) -> Settled | None:
        """Return what became of a request that may have been made before, None if nothing was done."""
        ...

    async def capture(self, request: Request) -> Settled: ...

    async def void(self, request: Request) -> Settled: ...

    async def refund(self, request: Request) -> Settled: ...

    async def close(self) -> None:
        """End the connections."""
        ...

    @property
    def read_webhook(self) -> ReadWebhook | None:
        """What reads the gateway's webhooks. None if nothing is set by which they could be trusted."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """A company whose gateway can be used, by the name that transactions and `/webhooks/NAME` have.

    `title` is its name for people. The fields of `settings` are environment variables, so that each begins with the
    name. `open` returns the gateway, None if it is not set up. It imports the client only then.
    """

    name: str
    title: str
    settings: type[BaseModel]
    open: Callable[[Any, Egress], Gateway | None]
