"""The tags by which a PDF file is read aloud: what PDF/UA-1 (ISO 14289-1) wants and WeasyPrint leaves open."""

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
    """From now on in this process, texts whose letters are put together from parts say what they are.

    An Arabic letter is drawn as a stroke, which it has in common with others, and dots: a file that knows its glyphs
    alone cannot be searched, copied from or read aloud.
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
    """A `finisher` of WeasyPrint's: called once the file is complete, before it is written."""

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
    """All tags beneath this one, with the references to them."""
    for kid in tag["K"]:
        if isinstance(kid, bytes):
            yield kid, at(kid)
            if "K" in at(kid):
                yield from _below(at(kid), at)


def _say_what_headers_are_for(cell: Any, at: At) -> None:
    """By `Scope`. WeasyPrint lists the headers of each cell by their ids, but not the ids where a reader looks."""
    cell["A"].pop("Headers", None)
    cell.pop("ID", None)
    if cell["S"] == "/TH":
        group = at(at(cell["P"])["P"])
        cell["A"]["Scope"] = "/Column" if group["S"] == "/THead" else "/Row"


def _place(figure: Any, at: At) -> None:
    """In points from the lower left corner, as everything else in the file; WeasyPrint has it in pixels from above."""
    left, top, right, bottom = (side * _POINT for side in figure["A"]["BBox"])
    height = at(figure["Pg"])["MediaBox"][3]
    figure["A"]["BBox"] = pydyf.Array((left, height - bottom, right, height - top))


def _set_margins_apart(pdf: pydyf.PDF, root: Any, in_tree: set[bytes], at: At) -> None:
    """Marks what stands in the margins as no part of the text, so that it is not read out anew on each page.

    WeasyPrint tags it, and then leaves it out of the tree of tags: neither one thing nor the other (7.1).
    """
    numbers = at(root["ParentTree"])["Nums"]  # the page's number, and the tag of each piece of it: in turns
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
    """Each glyph must stand for some character (7.21.7); those that are part of another's letter stand for none."""
    for item in pdf.objects:
        lines: list[Any] = item.stream if isinstance(item, pydyf.Stream) else []
        for index, line in enumerate(lines):
            if isinstance(line, bytes) and line.endswith(b"> <>"):
                lines[index] = line.removesuffix(b"<>") + _NOTHING
