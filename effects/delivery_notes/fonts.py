"""The fonts of delivery notes: those that are installed as packages, and then the machine's own."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

FILE_NAME: Final = "fonts.conf"
FOLDER_PREFIX: Final = "orderstream-rendering-"  # of the temporary folder that it is in

_PACKAGES: Final = ("fontpkg_noto_sans", "justmytype_intl_rtl", "justmytype_intl_cjk")

# Where systems keep theirs, should a name have letters that ours lack: Debian and others, and macOS.
_SYSTEM: Final = ("/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "/Library/Fonts")


def write_configuration(folder: Path) -> None:
    """Makes fontconfig's configuration file in this folder, which fontconfig then also keeps its cache in."""
    folders = "".join(f"<dir>{escape(str(each))}</dir>" for each in (*map(_folder, _PACKAGES), *_SYSTEM))
    (folder / FILE_NAME).write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig>{folders}<cachedir>{escape(str(folder / 'fontconfig'))}</cachedir></fontconfig>",
        encoding="utf-8",
        errors="surrogateescape",  # a path that the locale cannot say is written as the bytes that it is
    )


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    return Path(str(spec.origin)).parent
