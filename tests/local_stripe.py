"""A Stripe for the tests: localstripe, what a test asks it itself, and something that can go wrong before it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from api.settings import ROOT
from tests.clients import new_client

API_KEY: Final = "sk_test_orderstream"
START_SECONDS: Final = 120

_KEPT: Final = ("authorization", "content-type")

Step = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def local_stripe() -> AsyncIterator[str]:
    """The URL of one that answers; it is gone afterwards. Raises `RuntimeError` where it does not start."""
    quiet = asyncio.subprocess.DEVNULL
    command = (sys.executable, "-m", "tests.local_stripe_process")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=quiet, stdout=asyncio.subprocess.PIPE, stderr=quiet
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            port = (await process.stdout.readline()).decode().strip()
        if not port:
            raise RuntimeError("localstripe did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@dataclass
class Account:
    """The merchant's account at Stripe, as the shop and the merchant's own eyes see it."""

    url: str
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, **data: Any) -> dict[str, Any]:
        response = await self.http.request(method, f"{self.url}/v1/{path}", data=data, auth=(API_KEY, ""))
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    async def pay(self, amount: int, *, capture: str = "manual", currency: str = "chf", **given: Any) -> str:
        """A card is charged with so many minor units, or they are only authorized; returns the PaymentIntent's id."""
        given = {"payment_method": "pm_card_visa", "confirm": "true", **given}
        intent = await self.call(
            "POST", "payment_intents", amount=amount, currency=currency, capture_method=capture, **given
        )
        key: str = intent["id"]
        return key

    async def status(self, intent: str) -> str:
        return str((await self.call("GET", f"payment_intents/{intent}"))["status"])

    async def refunds(self, intent: str) -> list[int]:
        """The refunds that were asked for. One without metadata is localstripe's way to give up what a capture left."""
        answer = await self.call("GET", f"refunds?payment_intent={intent}&limit=100")
        return sorted(each["amount"] for each in answer["data"] if each["metadata"])


@asynccontextmanager
async def account_at(url: str) -> AsyncIterator[Account]:
    async with new_client() as http:
        yield Account(url, http)


async def _nothing(step: str) -> None:
    pass


@dataclass
class StripeProxy:
    """Stands before a Stripe and does what can happen on the way, to the next calls that move money, in turns.

    `before` and `after`: the connection ends before or after the call has arrived. `stall`: it has arrived, and no
    answer comes. `twice`: it arrives two times. A number is that HTTP status, without the call arriving. Anything else
    is the answer's body, to a call that has arrived. `step` is called before and after each call that arrives.

    With `remembers`, a call with an `Idempotency-Key` that was answered gets the same answer again and does not arrive:
    Stripe's own rule (https://docs.stripe.com/api/idempotent_requests), which localstripe does not have.
    """

    target: str
    http: httpx.AsyncClient
    url: str = ""
    faults: list[str | int] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    remembers: bool = False
    step: Step = _nothing
    _answers: dict[str, httpx.Response] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                request, *lines = head.split("\r\n")[:-2]
                method, path, _ = request.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                moves = path.endswith(("/capture", "/cancel")) or (method, path) == ("POST", "/v1/refunds")
                fault = self.faults.pop(0) if moves and self.faults else None
                if moves:
                    self.keys.append(headers["idempotency-key"])
                if fault == "before":
                    return
                if isinstance(fault, int):
                    writer.write(_response(fault, b'{"error": {"message": "Not now.", "type": "api_error"}}'))
                    continue
                try:
                    for _ in range(2 if fault == "twice" else 1):
                        answer = await self._forward(method, path, headers, body)
                except httpx.ConnectError:  # the test has stopped Stripe
                    return
                if fault == "stall":
                    await self._ending.wait()
                if fault in ("after", "stall"):
                    return
                sound = fault is None or fault == "twice"
                writer.write(_response(answer.status_code, answer.content if sound else str(fault).encode()))

    async def _forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        key = headers.get("idempotency-key", "")
        async with self._turn:
            if self.remembers and key in self._answers:
                return self._answers[key]
            await self.step(f"before {method} {path}")
            kept: dict[str, str] = {name: headers[name] for name in _KEPT if name in headers}
            answer = await self.http.request(method, self.target + path, headers=kept, content=body)
            self.arrived.append(f"{method} {path}")
            self._answers[key] = answer
            await self.step(f"after {method} {path}")
            return answer

    def close(self) -> None:
        self._ending.set()


def _response(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[StripeProxy]:
    async with new_client() as http:
        proxy = StripeProxy(url, http)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        async with server:
            proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield proxy
            proxy.close()
