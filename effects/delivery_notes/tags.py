"""The tags that screen readers use: what PDF/UA-1 (ISO 14289-1) requires and WeasyPrint lacks."""

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pydyf
from weasyprint.pdf.stream import Stream

_POINT: Final = 0.75  # points to a CSS pixel

_NOTHING: Final = b"<200b>"  # ZERO WIDTH SPACE, in hexadecimal

At = Callable[[bytes], Any]  # what a reference refers to


def spell_out() -> None:
    """Add the text itself to texts whose letters consist of several glyphs, from now on in this process.

    An Arabic letter is drawn as a stroke, which several letters share, and dots. From the glyphs alone, the text cannot
    be searched, copied or read aloud.
    """
    marked = Stream.marked

    @contextmanager
    def marked_with_text(stream: Any, box: Any, tag: str) -> Iterator[None]:
        with marked(stream, box, tag):
            text = getattr(box, "text", "")
            if any(unicodedata.bidirectional(character) in ("AL", "NSM") for character in text):
                stream.stream[-2]["ActualText"] = pydyf.String(text)
            yield

    Stream.marked = marked_with_text


def complete_tags(_page: Any, pdf: pydyf.PDF) -> None:
    """Complete the tags of a file. This is a `finisher` of WeasyPrint, called before the file is written."""

    def at(reference: bytes) -> Any:
        return pdf.objects[int(reference.split()[0])]

    root = at(pdf.catalog["StructTreeRoot"])
    tags = dict(_below(root, at))
    for tag in tags.values():
        if tag.get("S") in ("/TH", "/TD"):
            _say_what_headers_are_for(tag, at)
        elif tag.get("S") == "/Figure":
            _place(tag, at)
    _set_margins_apart(pdf, root, set(tags), at)
    _name_parts_of_letters(pdf)


def _below(tag: Any, at: At) -> Iterator[tuple[bytes, Any]]:
    """Yield all tags below this one, with the references to them."""
    for kid in tag["K"]:
        if isinstance(kid, bytes):
            yield kid, at(kid)
            if "K" in at(kid):
                yield from _below(at(kid), at)


def _say_what_headers_are_for(cell: Any, at: At) -> None:
    """Set the header's `Scope`. WeasyPrint lists each cell's headers by ids, but not where readers search for ids."""
    cell["A"].pop("Headers", None)
    cell.pop("ID", None)
    if cell["S"] == "/TH":
        group = at(at(cell["P"])["P"])
        cell["A"]["Scope"] = "/Column" if group["S"] == "/THead" else "/Row"


def _place(figure: Any, at: At) -> None:
    """Convert the figure's place to points from the lower left corner. WeasyPrint has pixels from the top."""
    left, top, right, bottom = (side * _POINT for side in figure["A"]["BBox"])
    height = at(figure["Pg"])["MediaBox"][3]
    figure["A"]["BBox"] = pydyf.Array((left, height - bottom, right, height - top))


def _set_margins_apart(pdf: pydyf.PDF, root: Any, in_tree: set[bytes], at: At) -> None:
    """Mark the contents of the margins as artifacts, so that they are not read aloud on each page.

    WeasyPrint tags them, but leaves them out of the tree of tags, which is neither one nor the other (7.1).
    """
    numbers = at(root["ParentTree"])["Nums"]  # alternately a page's number and the tags of its pieces
    for page, tags in zip(pdf.page_references, numbers[1::2], strict=False):
        apart = {index for index, tag in enumerate(tags) if tag not in in_tree}
        for index in apart:
            tags[index] = "null"
        _mark_as_artifacts(at(at(page)["Contents"]).stream, apart)


def _mark_as_artifacts(stream: list[Any], pieces: set[int]) -> None:
    for index, item in enumerate(stream):
        if isinstance(item, dict) and item.get("MCID") in pieces:
            stream[index - 1 : index + 1] = ["/Artifact", pydyf.Dictionary({"Type": "/Pagination"})]


def _name_parts_of_letters(pdf: pydyf.PDF) -> None:
    """Give each glyph a character (7.21.7), an invisible one if it is only a part of a letter."""
    for item in pdf.objects:
        lines: list[Any] = item.stream if isinstance(item, pydyf.Stream) else []
        for index, line in enumerate(lines):
            if isinstance(line, bytes) and line.endswith(b"> <>"):
                lines[index] = line.removesuffix(b"<>") + _NOTHING
