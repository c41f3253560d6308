"""The fonts of delivery notes: those that are installed as packages, then the system's."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

FILE_NAME: Final = "fonts.conf"
FOLDER_PREFIX: Final = "orderstream-rendering-"  # of the temporary folder that it is in

_PACKAGES: Final = ("fontpkg_noto_sans", "justmytype_intl_rtl", "justmytype_intl_cjk")

# The system's fonts, for names with letters that the packages lack: on Debian and others, and on macOS.
_SYSTEM: Final = ("/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "/Library/Fonts")


def write_configuration(folder: Path) -> None:
    """Write fontconfig's configuration file to this folder. Its cache is kept there as well."""
    folders = "".join(f"<dir>{escape(str(each))}</dir>" for each in (*map(_folder, _PACKAGES), *_SYSTEM))
    (folder / FILE_NAME).write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig>{folders}<cachedir>{escape(str(folder / 'fontconfig'))}</cachedir></fontconfig>",
        encoding="utf-8",
        errors="surrogateescape",  # a path that the locale cannot encode is written as its bytes
    )


def _folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    return Path(str(spec.origin)).parent
