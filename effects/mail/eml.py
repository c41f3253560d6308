"""E-mail that is written to a folder and not sent: one `.eml` file (RFC 5322) for each message."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from effects.mail.delivery import HandOver, Mail, ServerFailed
from models.engine import private

_LONGEST_NAME: Final = 180  # characters, of the 255 that file systems have room for


class FolderTransport:
    """Writes messages to a folder, and makes the folder if it does not exist.

    A second message of the same name gets a number. Other users of the machine cannot read the files.
    """

    once = True
    is_sending = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_writable(self) -> bool:
        """Return whether messages can be written: into the folder, or into the one that it will be made in."""
        there = next(folder for folder in (self.folder, *self.folder.parents) if os.path.exists(folder))
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)

    def restrict(self) -> None:
        """Hide files that earlier versions made readable from other users."""
        for path in self.folder.glob("*.eml"):
            private.restrict(path)

    @asynccontextmanager
    async def prepare(self, mail: Mail) -> AsyncIterator[HandOver]:
        yield partial(asyncio.to_thread, self._write, mail)

    def _write(self, mail: Mail) -> None:
        try:
            private.make_folder(self.folder)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", suffix=".tmp") as file:
                file.write(mail.content)
                file.flush()
                os.fsync(file.fileno())
                _link(file.name, mail, self._paths(mail.name))
        except OSError as error:
            raise ServerFailed(str(error)) from error

    def _paths(self, name: str) -> Iterator[Path]:
        safe = re.sub(r"[^A-Za-z0-9._@+-]+", "_", name).strip(".")[:_LONGEST_NAME]
        yield self.folder / f"{safe}.eml"
        for number in count(2):
            yield self.folder / f"{safe}-{number}.eml"


def _link(file: str, mail: Mail, paths: Iterator[Path]) -> None:
    """Give the file the first name that is free. Do nothing if the same message is found before that."""
    for path in paths:
        with suppress(FileExistsError):
            os.link(file, path)
            return
        if message_from_bytes(path.read_bytes()).get("Message-ID") == mail.message_id:
            return
