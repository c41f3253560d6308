"""What a transport does with a message, and how that can end."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from effects.effect import CounterpartFailed


@dataclass(frozen=True, slots=True)
class Mail:
    """A message that is ready to be sent, with addresses as SMTP needs them. `name` is the name of its file."""

    sender: str
    recipient: str
    message_id: str
    content: bytes
    name: str


class NotTaken(Exception):
    """The message was certainly not accepted. A later attempt may succeed. The error's message says why."""


class ServerFailed(NotTaken, CounterpartFailed):
    """The message was not accepted because the mail server, or the folder, is down or overloaded."""


class Refused(Exception):
    """The message was certainly not accepted, and never will be. The error's message says why."""


class InDoubt(Exception):
    """It is unknown whether the message was accepted."""


HandOver = Callable[[], Awaitable[None]]


class Transport(Protocol):
    """A way of sending. If `once` is set, a message that is handed over several times is kept once.

    If `is_sending` is not set, the transport only keeps the messages, so that people can read them.
    """

    once: bool
    is_sending: bool

    def prepare(self, mail: Mail) -> AbstractAsyncContextManager[HandOver]:
        """Do everything that may be repeated, and yield the function that hands the message over.

        Raise NotTaken and Refused. The function raises these and InDoubt.
        """
        ...
