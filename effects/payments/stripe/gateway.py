"""The client of Stripe's API. The rules of Stripe that comments name are from https://docs.stripe.com/api."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import stripe
from stripe.params import PaymentIntentCaptureParams, RefundCreateParams, RefundListParams

from domain.egress import PUBLIC_ONLY, BadDestination, Egress
from domain.payments.settling import Settled
from effects.outgoing import CallFailed, Outgoing, trusted
from effects.payments.gateways import GatewayDown, GatewayRefused, GatewayUnavailable, Request
from effects.payments.stripe.events import find_payment_intent
from models.enums import TransactionKind

SECONDS: Final = 20.0  # for one call
MOST_BYTES: Final = 5_000_000  # of an answer: a hundred refunds are far below
TRANSACTION: Final = "orderstream_transaction"  # the metadata by which a transaction is found again

# Amounts are minor units of ISO 4217, and Stripe's differ for these (https://docs.stripe.com/currencies#special-cases):
# kronur and Ugandan shillings have two decimals there, which are zero, and the ariary has none.
_TIMES_HUNDRED: Final = frozenset({"ISK", "UGX"})
_BY_HUNDRED: Final = frozenset({"MGA"})

# Otherwise the library stores an id of this machine in the home folder, and sends it with the duration of calls.
stripe.enable_telemetry = False


class StripeGateway:
    """The gateway of a Stripe account. References are ids of PaymentIntents, and of refunds (`re_…`) for refunds.

    A PaymentIntent is captured once: Stripe returns the rest to the payer. Calls send the transaction's key as
    `Idempotency-Key`, which Stripe remembers for at least a day; `find` does not rely on that. The library's own
    retries are off, and its calls go through `Outgoing`.
    """

    name: Final = "stripe"

    def __init__(
        self,
        api_key: str,
        api_base: str | None = None,
        seconds: float = SECONDS,
        egress: Egress = PUBLIC_ONLY,
        webhook_secret: str | None = None,
    ) -> None:
        self._seconds = seconds
        self.read_webhook = partial(find_payment_intent, secret=webhook_secret) if webhook_secret else None
        egress = egress.including(api_base) if api_base else egress
        self._outgoing = Outgoing(egress, most_bytes=MOST_BYTES, context=trusted())
        self._stripe = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,
            http_client=_Client(self._outgoing, seconds),
        )

    async def close(self) -> None:
        await self._outgoing.close()

    async def find(self, request: Request) -> Settled | None:
        if request.kind is TransactionKind.REFUND:
            return await self._find_refund(request)
        intent = await self._intent(request)
        status = intent["status"]
        if request.kind is TransactionKind.VOID:
            # What a capture has left over is not held any more, though the PaymentIntent is not cancelled.
            is_void = status == "canceled" or (status == "succeeded" and request.captured > 0)
            return Settled(intent["id"]) if is_void else None
        if status == "canceled":
            raise GatewayRefused("The PaymentIntent was cancelled.")
        if intent["metadata"].get(TRANSACTION) != str(request.key):
            return None
        return Settled(intent["id"], nothing_left=True) if status == "succeeded" else None

    async def capture(self, request: Request) -> Settled:
        """Mark the PaymentIntent with the transaction first, so that `find` finds it if the answer is lost."""
        reference = _reference(request)
        params: PaymentIntentCaptureParams = {"amount_to_capture": _amount(request)}
        async with self._translating_errors():
            await self._stripe.v1.payment_intents.update_async(reference, {"metadata": _metadata(request)})
            answer = await self._stripe.v1.payment_intents.capture_async(reference, params, _idempotency_key(request))
            intent = _fields_of(answer, "payment_intent")
        if intent["status"] != "succeeded":
            raise GatewayUnavailable(f"the PaymentIntent is {intent['status']}")
        return Settled(intent["id"], nothing_left=True)

    async def void(self, request: Request) -> Settled:
        reference = _reference(request)
        async with self._translating_errors():
            answer = await self._stripe.v1.payment_intents.cancel_async(reference, {}, _idempotency_key(request))
            intent = _fields_of(answer, "payment_intent")
        if intent["status"] != "canceled":
            raise GatewayUnavailable(f"the PaymentIntent is {intent['status']}")
        return Settled(intent["id"])

    async def refund(self, request: Request) -> Settled:
        params: RefundCreateParams = {
            "payment_intent": _reference(request),
            "amount": _amount(request),
            "metadata": _metadata(request),
        }
        async with self._translating_errors():
            answer = await self._stripe.v1.refunds.create_async(params, _idempotency_key(request))
            refund = _fields_of(answer, "refund")
        return _settle_refund(refund)

    async def _intent(self, request: Request) -> dict[str, Any]:
        reference = _reference(request)
        async with self._translating_errors():
            intent = _fields_of(await self._stripe.v1.payment_intents.retrieve_async(reference), "payment_intent")
            if intent["currency"].upper() != request.currency:
                raise GatewayRefused(f"The PaymentIntent is in {intent['currency'].upper()}, not {request.currency}.")
            return intent

    async def _find_refund(self, request: Request) -> Settled | None:
        params: RefundListParams = {"payment_intent": _reference(request), "limit": 100}
        async with self._translating_errors():
            page = await self._stripe.v1.refunds.list_async(params)
            async for each in page.auto_paging_iter():
                refund = _fields_of(each, "refund")
                if refund["metadata"].get(TRANSACTION) == str(request.key):
                    return _settle_refund(refund)
        return None

    @asynccontextmanager
    async def _translating_errors(self) -> AsyncIterator[None]:
        """Raise GatewayRefused, GatewayUnavailable or GatewayDown for errors of calls to Stripe."""
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            raise GatewayRefused(error.user_message or str(error)) from error
        except stripe.APIConnectionError as error:
            raise GatewayDown(f"Stripe was not reached, or not understood: {error.__cause__}") from error
        except TimeoutError as error:
            raise GatewayDown(f"Stripe has not answered within {self._seconds:g} seconds") from error
        except stripe.IdempotencyError as error:  # the same key is being used at this moment
            raise GatewayUnavailable(f"Stripe does not work: {error}") from error
        except stripe.StripeError as error:
            raise GatewayDown(f"Stripe does not work: {error}") from error
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # what the library makes of such JSON
            raise GatewayDown(f"Stripe's answer makes no sense: {error!r}") from error


class _Client(stripe.HTTPClient):
    """The HTTP client of Stripe's library."""

    name = "orderstream"

    def __init__(self, outgoing: Outgoing, seconds: float) -> None:
        super().__init__()
        self._outgoing = outgoing
        self._seconds = seconds

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._outgoing.call(
                method.upper(), url, headers=headers, content=(post_data or "").encode(), seconds=self._seconds
            )
        except (BadDestination, CallFailed) as error:
            raise stripe.APIConnectionError(str(error)) from error  # type: ignore[no-untyped-call]
        return answer.body, answer.status, answer.headers


def _reference(request: Request) -> str:
    if not request.reference:
        raise GatewayRefused("The payment has no reference by which Stripe knows it.")
    return request.reference


def _amount(request: Request) -> int:
    if request.currency in _TIMES_HUNDRED:
        return request.amount * 100
    if request.currency not in _BY_HUNDRED:
        return request.amount
    if request.amount % 100:
        raise GatewayRefused(f"Stripe moves whole {request.currency} only.")
    return request.amount // 100


def _metadata(request: Request) -> dict[str, str]:
    return {TRANSACTION: str(request.key)}


def _idempotency_key(request: Request) -> stripe.RequestOptions:
    return {"idempotency_key": str(request.key)}


def _fields_of(answer: stripe.StripeObject, kind: str) -> dict[str, Any]:
    """Return the object's fields. Raise ValueError if it is of another kind."""
    fields: dict[str, Any] = answer.to_dict()
    if fields.get("object") != kind or not isinstance(fields["metadata"], dict):
        raise ValueError(f"not a {kind}")
    return {"id": str(fields["id"]), "status": fields["status"], **fields}


def _settle_refund(refund: dict[str, Any]) -> Settled:
    """Return the outcome of a refund. Raise GatewayUnavailable while it is pending, because it may still fail."""
    status = refund["status"]
    if status in ("failed", "canceled"):
        raise GatewayRefused(f"The refund has {status}: {refund.get('failure_reason') or 'no reason is given'}.")
    if status != "succeeded":
        raise GatewayUnavailable(f"the refund is {status}")
    return Settled(refund["id"])
