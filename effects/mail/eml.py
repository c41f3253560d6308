"""E-mail into a folder, where nobody sends it any further: one `.eml` file (RFC 5322) for each message."""

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

from effects.mail.delivery import HandOver, Mail, NotTaken
from models.engine import private

_LONGEST_NAME: Final = 180  # characters, of the 255 that file systems have room for


class FolderTransport:
    """The folder is made where there is none. Another message of the same name gets a number behind it.

    Other users of the machine cannot read the files.
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
        """Take from everybody else the files that earlier versions have let them read."""
        for path in self.folder.glob("*.eml"):
            private.restrict(path)

    @asynccontextmanager
    async def preparing(self, mail: Mail) -> AsyncIterator[HandOver]:
        yield partial(asyncio.to_thread, self._write, mail)

    def _write(self, mail: Mail) -> None:
        try:
            private.make_folder(self.folder)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", suffix=".tmp") as file:
                file.write(mail.content)
                file.flush()
                os.fsync(file.fileno())
                _put(file.name, mail, self._paths(mail.name))
        except OSError as error:
            raise NotTaken(str(error)) from error

    def _paths(self, name: str) -> Iterator[Path]:
        safe = re.sub(r"[^A-Za-z0-9._@+-]+", "_", name).strip(".")[:_LONGEST_NAME]
        yield self.folder / f"{safe}.eml"
        for number in count(2):
            yield self.folder / f"{safe}-{number}.eml"


def _put(file: str, mail: Mail, paths: Iterator[Path]) -> None:
    """Gives the file the first of the names that is free, unless the same message has one of those before."""
    for path in paths:
        with suppress(FileExistsError):
            os.link(file, path)
            return
        if message_from_bytes(path.read_bytes()).get("Message-ID") == mail.message_id:
            return
