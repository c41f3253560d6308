"""What a way of sending e-mail does for a message, and how that can end."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from effects.effect import CounterpartFailed


@dataclass(frozen=True, slots=True)
class Mail:
    """A message that is ready to be sent. The addresses are as SMTP has them; `name` is what its file is called."""

    sender: str
    recipient: str
    message_id: str
    content: bytes
    name: str


class NotTaken(Exception):
    """The message was certainly not taken, and may be another time. The message of this says why."""


class ServerFailed(NotTaken, CounterpartFailed):
    """The same, and the fault is the mail server's, not the message's: it is down, overloaded or silent."""


class Refused(Exception):
    """The message was certainly not taken, and never will be. The message of this says why."""


class InDoubt(Exception):
    """Nobody can tell whether the message was taken."""


HandOver = Callable[[], Awaitable[None]]


class Transport(Protocol):
    """A way of sending. One that takes a message `once` has it once, however often it is handed over.

    If it does not send (`is_sending`), it keeps the message where somebody may look at it.
    """

    once: bool
    is_sending: bool

    def preparing(self, mail: Mail) -> AbstractAsyncContextManager[HandOver]:
        """Does all that may be done again, up to the point where the message needs to be handed over, and nothing more.

        Raises `NotTaken` and `Refused`; the function that it gives raises these and `InDoubt`, too.
        """
        ...
