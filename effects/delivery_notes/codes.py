"""The codes of a delivery note: Code 128 with its number, and a QR code for the recipient."""

import base64
from dataclasses import dataclass
from typing import Final

import segno
from barcode import Code128

# Code 128 (ISO/IEC 15417) wants 10 modules of quiet around it, QR (ISO/IEC 18004) 4. Below a quarter of a millimetre
# a bar is not safe from a laser printer and a worn scanner.
_NARROWEST, _WIDEST, _BARCODE_WIDTH = 0.25, 0.33, 70.0  # millimetres: of a module, and of all of it if possible
_BARCODE_QUIET, _QR_QUIET = 10, 4  # modules
_QR_MODULE, _QR_SIZE, _LARGEST_QR = 0.4, 22.0, 45.0  # millimetres: at least, at least, at most


@dataclass(frozen=True, slots=True)
class Code:
    """An image as a `data:` URL, and its contents. Sizes are in millimetres.

    `width` and `height` include the quiet zone, which is `quiet` wide on the left and on the right, and around a QR
    code also above and below.
    """

    url: str
    content: str
    width: float
    height: float
    quiet: float


def barcode(content: str, height: float) -> Code:
    """Return a Code 128 without the text below it."""
    (bars,) = Code128(content).build()
    modules = len(bars) + 2 * _BARCODE_QUIET
    module = min(max(_BARCODE_WIDTH / modules, _NARROWEST), _WIDEST)
    rectangles = "".join(f"M{_BARCODE_QUIET + start} 0h{length}v1h-{length}z" for start, length in _dark_runs(bars))
    return Code(_svg(rectangles, modules, 1), content, module * modules, height, module * _BARCODE_QUIET)


def qr(content: str) -> Code | None:
    """Return a QR code, None if the content is too long for one that a phone reads from a printed page."""
    try:
        code = segno.make_qr(content, error="m")
    except segno.DataOverflowError:
        return None
    rows = [bytes(row).translate(_BITS).decode() for row in code.matrix]
    modules = len(rows) + 2 * _QR_QUIET
    size = max(_QR_SIZE, modules * _QR_MODULE)
    if size > _LARGEST_QR:
        return None
    rectangles = "".join(
        f"M{_QR_QUIET + start} {_QR_QUIET + y}h{length}v1h-{length}z"
        for y, row in enumerate(rows)
        for start, length in _dark_runs(row)
    )
    return Code(_svg(rectangles, modules, modules), content, size, size, size / modules * _QR_QUIET)


_BITS: Final = bytes.maketrans(b"\0\1", b"01")


def _dark_runs(modules: str) -> list[tuple[int, int]]:
    """Return start and length of each run of dark modules. A run is drawn at once, so that it has no gaps."""
    runs, start = [], 0
    for part in modules.replace("01", "0 1").replace("10", "1 0").split():
        if part[0] == "1":
            runs.append((start, len(part)))
        start += len(part)
    return runs


def _svg(path: str, width: int, height: int) -> str:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' preserveAspectRatio="none"><path d="{path}"/></svg>'
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
