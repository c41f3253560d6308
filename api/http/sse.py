"""Answers as server-sent events: graphql-sse's "distinct connections mode".

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.callers.open_counts import TooManyOpen
from api.callers.token_watch import InvalidToken
from api.execution.answers import Answer, refusal
from api.execution.context import Context
from api.execution.errors import RATE_LIMITED
from api.http.connections import abort, wait_for_answer
from api.http.plain import RETRY, refused
from api.service import Service
from domain.actors import Actor

EVENT_STREAM = "text/event-stream"
_PING = b":\n\n"
_COMPLETE = b"event: complete\ndata:\n\n"


class EventStream(Response):
    """All answers of an operation, each as a `next` event, and then `complete`.

    The operation ends when the client goes, or does not read a message for `stall_seconds`. If the caller's token ends,
    the stream says so and is complete. If the server ends, or the database cannot be used, a subscription's stream ends
    without `complete`, which a client takes for a lost connection, and resumes.
    """

    media_type = EVENT_STREAM

    def __init__(
        self, answers: AsyncGenerator[Answer, None], context: Context, actor: Actor | None, service: Service
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._answers = answers
        self._context = context
        self._actor = actor
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        counts = self._service.open_counts
        try:
            with counts.connection_of(self._context.caller):
                await self._stream(scope, receive, send)
        except TooManyOpen as error:
            await refused(429, str(error), RATE_LIMITED, RETRY)(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        token_ended = asyncio.Event()
        gone = asyncio.create_task(_wait_for_disconnect(receive))
        with self._service.tokens.on_token_end(self._actor, token_ended.set):
            sending = asyncio.create_task(self._send_all(send))
            ends = [
                asyncio.create_task(token_ended.wait()),
                asyncio.create_task(self._service.stopping.wait()),
            ]
            try:
                await asyncio.wait((sending, gone, *ends), return_when=asyncio.FIRST_COMPLETED)
                if self._service.stopping.is_set() and not gone.done():
                    await wait_for_answer(sending, self._context)
                if sending.done():
                    sending.result()
                else:
                    await _cancel(sending)
                    if token_ended.is_set():
                        self._service.metrics.count_cut_off("token ended")
                        await self._send(send, _next(refusal(str(InvalidToken()), "UNAUTHENTICATED")) + _COMPLETE)
                    elif self._service.stopping.is_set():
                        self._service.metrics.count_cut_off("stopping")
                await self._send(send, b"", more=False)
            except TimeoutError:
                self._service.metrics.count_cut_off("stalled")
                if abort(scope):
                    await gone
            finally:
                await _cancel(sending, gone, *ends)

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._events()) as events:
            async for event in events:
                await self._send(send, event)

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        """Send a part of the answer. Raise `TimeoutError` if the client does not read."""
        async with asyncio.timeout(self._service.settings.stall_seconds):
            await send({"type": "http.response.body", "body": body, "more_body": more})

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """Yield the events, with comments between them so that nobody takes a quiet stream for a dead one."""
        async with aclosing(self._answers) as answers:
            following = asyncio.ensure_future(anext(answers, None))
            try:
                while True:
                    done, _ = await asyncio.wait((following,), timeout=self._service.settings.ping_seconds)
                    if not done:
                        yield _PING
                    elif (answer := following.result()) is None:
                        yield _COMPLETE
                        return
                    elif answer.unavailable and self._context.operation_kind == "subscription":
                        self._service.metrics.count_cut_off("unavailable")
                        return
                    else:
                        yield _next(answer)
                        following = asyncio.ensure_future(anext(answers, None))
            finally:
                await _cancel(following)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _next(answer: Answer) -> bytes:
    return b"event: next\ndata: " + answer.as_json() + b"\n\n"
