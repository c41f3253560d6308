"""Files and folders that only this user may read, because they hold customers' data."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_EVERYBODY: Final = 0o007
_OTHERS: Final = 0o077


def make_folder(path: Path) -> None:
    """Make the folder and the ones above it, if they are not there. Raise `OSError`."""
    for folder in (*reversed(path.parents), path):
        with suppress(FileExistsError):
            if not folder.exists():
                folder.mkdir(FOLDER_MODE)
    if not path.is_dir():
        raise NotADirectoryError(None, "Not a folder", str(path))


def make_file(path: Path) -> None:
    """Make an empty file if there is none, and require that it can be written. Raise `OSError`."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))


def restrict(path: Path) -> None:
    """Take all rights from others if everybody has some and the file is this user's.

    Rights that were given to a group alone are an operator's decision, and stay.
    """
    with suppress(OSError):
        found = path.stat()
        if found.st_uid == os.geteuid() and found.st_mode & _EVERYBODY:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
