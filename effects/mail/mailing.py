"""E-mail as an effect of events: planned, written when it is due, and sent once."""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from domain.actors import system
from domain.events import EmailFailed, EmailSent
from effects.effect import CounterpartFailed, GivenUp, Planned, finish, remember
from effects.mail.building import build
from effects.mail.delivery import HandOver, InDoubt, NotTaken, Refused, Transport
from effects.mail.email import DownloadLink
from effects.mail.emails import emails_after
from effects.mail.message import write_mail
from effects.mail.occasion import Occasion
from effects.mail.settings import MailSettings
from models import Effect, OrderEvent
from models.enums import EffectKind, EffectState, EmailKind
from models.vocabularies import stored_word

MAILER: Final = system("mail")
GRACE_SECONDS: Final = 3.0
SERVER: Final = "smtp"  # the counterpart of all e-mail

_LONGEST_REASON: Final = 600  # characters: the event's sentence has an address, too


class _Doubtful(GivenUp, CounterpartFailed):
    """The server got a message and did not answer. It would do the same with the next, and each needs a person then."""


class Mailing:
    """Sends each e-mail once. If it is unknown whether one was sent, a person decides.

    Everything before the message is handed over may be repeated. The effect remembers that the message is being handed
    over, until the mail server definitely refuses it. If this process is stopped meanwhile, it waits for the answer for
    `grace_seconds`.
    """

    kind: ClassVar[EffectKind] = EffectKind.EMAIL

    def __init__(
        self,
        settings: MailSettings,
        transport: Transport,
        download_link: DownloadLink,
        *,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._download_link = download_link
        self._grace_seconds = grace_seconds

    async def plan(self, events: Sequence[OrderEvent]) -> list[tuple[OrderEvent, Planned]]:
        planned = []
        for event in events:
            occasion = Occasion(event, self._settings)
            for email in emails_after(event.type):
                addresses = await email.recipients(occasion)
                planned += [(event, Planned(email.kind, address, counterpart=SERVER)) for address in addresses]
        return planned

    async def carry_out(self, effect: Effect) -> None:
        """Send it. Raise GivenUp if it was refused for good or may have been sent already, and NotTaken."""
        handed_over_at = effect.data.get("handed_over_at")
        if handed_over_at and not self._transport.once:
            raise GivenUp(f"it may have been sent already: no answer is known since it was sent at {handed_over_at}")
        letter = await build(effect, self._settings, self._download_link)
        try:
            mail = write_mail(letter, effect, self._settings)
            async with self._transport.prepare(mail) as hand_over:
                await self._run_to_end(self._hand_over(effect, hand_over))
        except Refused as refusal:
            raise GivenUp(str(refusal)) from refusal
        except InDoubt as doubt:
            raise _Doubtful(f"it may have been sent already: {doubt}") from doubt

    async def give_up(self, effect: Effect, reason: str) -> None:
        reason = reason[:_LONGEST_REASON]
        happening = EmailFailed(effect.id, stored_word(EmailKind, effect.subject), effect.target, reason)
        await finish(effect, MAILER, happening, state=EffectState.FAILED, error=reason)

    async def _run_to_end(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=self._grace_seconds)
            task.cancel()
            raise

    async def _hand_over(self, effect: Effect, hand_over: HandOver) -> None:
        await remember(effect, handed_over_at=datetime.now(UTC).isoformat(timespec="seconds"))
        try:
            await hand_over()
        except (NotTaken, Refused):
            await remember(effect, handed_over_at=None)
            raise
        to_file = not self._transport.is_sending
        await finish(effect, MAILER, EmailSent(effect.id, EmailKind(effect.subject), effect.target, to_file))
