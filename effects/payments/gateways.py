"""What a gateway must be able to do. The built-in one, `manual`, is none of these: it has nobody to ask."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domain.payments.settling import Settled
from effects.effect import CounterpartFailed
from models.enums import TransactionKind


class GatewayRefused(Exception):
    """The gateway does not do it, and will not if it is asked again. The message is for people, in its own words."""


class GatewayUnavailable(Exception):
    """Nobody knows what became of it, or will become: the gateway must be asked again later."""


class GatewayDown(GatewayUnavailable, CounterpartFailed):
    """The same, and it is the gateway's fault: it does not answer, or nobody would get another answer."""


class BadSignature(Exception):
    """What is said to be a gateway's is not, or is too old."""


@dataclass(frozen=True, slots=True)
class Request:
    """A capture, void or refund. `key` is the transaction's, the same however often it is asked for.

    `amount` is in minor units of `currency` (ISO 4217), and so is `captured`: what was captured from the same
    authorization before. `reference` is the gateway's own for what is captured from, voided or refunded.
    """

    key: UUID
    kind: TransactionKind
    amount: int
    currency: str
    reference: str | None
    captured: int = 0


class Gateway(Protocol):
    """Each method raises `GatewayRefused`, and `GatewayUnavailable` for whatever leaves the outcome open.

    Who calls has no transaction of the database open.
    """

    @property
    def name(self) -> str: ...

    async def find(self, request: Request) -> Settled | None:
        """What became of a request that may have been made before; `None` where nothing was done."""
        ...

    async def capture(self, request: Request) -> Settled: ...

    async def void(self, request: Request) -> Settled: ...

    async def refund(self, request: Request) -> Settled: ...

    async def close(self) -> None:
        """Ends the connections."""
        ...
