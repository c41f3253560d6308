"""A PDF file as it comes out of the printer: what stands where, in millimetres from the upper left corner."""

from functools import cached_property
from typing import Any, NamedTuple

import pypdfium2
import zxingcpp

POINT = 25.4 / 72  # millimetres
HEIGHT = 297.0


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float


class Paper:
    def __init__(self, content: bytes) -> None:
        self._pdf = pypdfium2.PdfDocument(content)
        self._pages = list(self._pdf)
        self._texts = [page.get_textpage() for page in self._pages]

    def __len__(self) -> int:
        return len(self._pages)

    def text(self, page: int = 0) -> str:
        return str(self._texts[page].get_text_range()).replace("\r\n", "\n")

    def within(self, box: Box, page: int = 0) -> list[str]:
        """The lines of text in this part of the page."""
        text = self._texts[page].get_text_bounded(
            left=box.left / POINT,
            top=(HEIGHT - box.top) / POINT,
            right=box.right / POINT,
            bottom=(HEIGHT - box.bottom) / POINT,
        )
        return [line.strip() for line in str(text).splitlines() if line.strip()]

    def place(self, text: str, page: int = 0) -> Box:
        """Where the text stands, the first time."""
        found = self._texts[page].search(text).get_next()
        assert found is not None, f"{text} is not on the page"
        boxes = [self._texts[page].get_charbox(found[0] + index) for index in range(found[1])]
        return Box(
            min(box[0] for box in boxes) * POINT,
            HEIGHT - max(box[3] for box in boxes) * POINT,
            max(box[2] for box in boxes) * POINT,
            HEIGHT - min(box[1] for box in boxes) * POINT,
        )

    def row(self, text: str, page: int = 0) -> str:
        """All that stands beside the text, from left to right, without spaces: a reader can but guess them."""
        place = self.place(text, page)
        return "".join("".join(self.within(Box(20, place.top, 205, place.bottom), page)).split())

    def picture(self, page: int = 0, dots_per_inch: int = 200) -> Any:
        return self._pages[page].render(scale=dots_per_inch / 72).to_pil().convert("L")

    @cached_property
    def codes(self) -> dict[str, str]:
        """What a scanner reads on all pages, by the kind of the code."""
        read = (code for page in range(len(self)) for code in zxingcpp.read_barcodes(self.picture(page)))
        return {str(code.format): code.text for code in read}

    def close(self) -> None:
        for part in (*self._texts, *self._pages, self._pdf):
            part.close()
