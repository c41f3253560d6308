"""What connections have in common: how much may wait for a client, and how long an end is waited for."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from starlette.types import Scope

from api.execution.context import Context
from api.http.writers import UNREAD_BYTES

LINGER_SECONDS = 3.0  # for which what was sent may lie unread once a connection is to end
FINISH_SECONDS = 5.0  # for which a query or a mutation may go on once the server is to end

ABORT: Final = "orderstream.abort"  # where an HTTP request's scope has what aborts its connection

_LOOK_SECONDS = 0.05


class Connection(Protocol):
    """A connection of uvicorn's."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    connections: set[Any]


def abort(scope: Scope) -> bool:
    """Abort the connection of an HTTP request, whatever waits to be sent. Return False under another server."""
    extension = scope.get("extensions", {}).get(ABORT)
    if extension is None:
        return False
    cast(Callable[[], None], extension["abort"])()
    return True


async def wait_for_answer(operation: asyncio.Task[Any], context: Context) -> None:
    """Wait until a query or a mutation is over, `FINISH_SECONDS` at most. Do not wait for a subscription.

    What kind of operation it is may be known only a moment after it has begun.
    """
    deadline = asyncio.get_running_loop().time() + FINISH_SECONDS
    while context.operation_kind != "subscription" and asyncio.get_running_loop().time() < deadline:
        await asyncio.wait((operation,), timeout=_LOOK_SECONDS)
        if operation.done():
            return


def limit_buffers(transport: asyncio.Transport) -> None:
    """Limit how much waits for this client, however slowly it reads.

    The kernel would let its own buffer grow to megabytes. Of what is on its way to the client there may be more: that
    is how a far one gets its data quickly.
    """
    transport.set_write_buffer_limits(high=UNREAD_BYTES)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNREAD_BYTES)


def abort_after_lingering(connection: Connection) -> None:
    """Abort the connection in `LINGER_SECONDS`."""
    connection.loop.call_later(LINGER_SECONDS, connection.transport.abort)


def abort_once_stalled(connection: Connection, is_idle: Callable[[], bool]) -> None:
    """Abort the connection when its client has fetched nothing for a while of what waits for it.

    A connection that is idle, with nothing to fetch, is aborted as well.
    """
    transport, loop = connection.transport, connection.loop

    def look(waiting_before: int) -> None:
        if connection not in connection.connections:
            return
        waiting = transport.get_write_buffer_size()
        if waiting >= waiting_before > 0 or (waiting == 0 and is_idle()):
            transport.abort()
        else:
            loop.call_later(LINGER_SECONDS, look, waiting)

    loop.call_later(LINGER_SECONDS, look, transport.get_write_buffer_size())
