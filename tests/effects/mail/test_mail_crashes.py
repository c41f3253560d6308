"""The process killed between each two steps of sending: no message twice, and none lost without a word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from effects.mail.delivery import HandOver, Mail, Transport
from effects.mail.eml import FolderTransport
from models import Effect
from models.enums import EffectState, OrderEventType
from tests.domain.shop import place
from tests.effects.mail.post import ADDRESS, LADINA, attempted, effects_of, mailing, post_office, told

pytestmark = pytest.mark.usefixtures("database")

WRITTEN = f"ORDER_CONFIRMATION to {ADDRESS} was written to a file, not sent: there is no mail server."
STEPS: Final = ("before it connects", "before it is handed over", "before the text", "after the text", "never")


class Killed(BaseException):
    """The end of the process, for all that the code can see of it."""


class Dying:
    """A transport whose process is killed at one step."""

    def __init__(self, transport: Transport, step: str) -> None:
        self._transport = transport
        self._step = step
        self.once = transport.once
        self.is_sending = transport.is_sending

    @asynccontextmanager
    async def prepare(self, mail: Mail) -> AsyncIterator[HandOver]:
        self._reach("before it connects")
        async with self._transport.prepare(mail) as hand_over:
            self._reach("before it is handed over")

            async def dying_hand_over() -> None:
                self._reach("before the text")
                await hand_over()
                self._reach("after the text")

            yield dying_hand_over

    def _reach(self, step: str) -> None:
        if step == self._step:
            raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
async def test_killed_between_two_steps(step: str) -> None:
    async with post_office() as office:
        order = await place(customer=LADINA)
        sending = mailing(office.transport())
        [effect] = await effects_of(order, sending, OrderEventType.ORDER_PLACED)
        try:
            await mailing(Dying(office.transport(), step)).carry_out(await Effect.get(id=effect.id))
        except Killed:
            assert step != "never"
        ended = await attempted(sending, effect)
        if step in ("before the text", "after the text"):
            assert ended.state is EffectState.FAILED
            assert str(ended.error).startswith("it may have been sent already: no answer is known since it was sent at")
            assert await told(order) == [f"ORDER_CONFIRMATION could not be sent to {ADDRESS}: {ended.error}"]
        else:
            assert ended.state is EffectState.DONE
            assert await told(order) == [f"ORDER_CONFIRMATION was sent to {ADDRESS}."]
        assert len(office.messages) == (0 if step == "before the text" else 1)


@pytest.mark.parametrize("step", STEPS)
async def test_killed_while_writing_files(step: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mail")
    order = await place(customer=LADINA)
    sending = mailing(FolderTransport(folder))
    [effect] = await effects_of(order, sending, OrderEventType.ORDER_PLACED)
    try:
        await mailing(Dying(FolderTransport(folder), step)).carry_out(await Effect.get(id=effect.id))
    except Killed:
        assert step != "never"
    assert (await attempted(sending, effect)).state is EffectState.DONE
    assert len(list(folder.iterdir())) == 1
    assert await told(order) == [WRITTEN]


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_stopped_while_the_server_thinks(command: str) -> None:
    async with post_office() as office:
        office.held = command
        sending = mailing(office.transport(), grace_seconds=0)
        order = await place(customer=LADINA)
        [effect] = await effects_of(order, sending, OrderEventType.ORDER_PLACED)
        task = asyncio.create_task(attempted(sending, effect))
        await office.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        office.held = None
        office.release.set()
        ended = await attempted(sending, effect)
        assert ended.state is (EffectState.DONE if command == "RCPT" else EffectState.FAILED)
        assert len(office.messages) == 1
