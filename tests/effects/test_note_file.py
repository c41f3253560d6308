"""What is in the file besides its pages: for archives (PDF/A-3a), to be read aloud (PDF/UA-1), and always the same."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from pdfua import validate
from pikepdf import Array, Dictionary, Pdf

from domain.delivery_notes.content import NoteContent
from effects.delivery_notes.merging import merge
from effects.delivery_notes.presentation import Presentation
from tests.effects.notes import NOTES, PRESENTATION
from tests.effects.paper import Paper

Content = Callable[[str], bytes]


def tags(tag: Any) -> Iterator[Any]:
    """All tags of the tree, in the order in which they are read."""
    kids = tag.get("/K", Array())
    for kid in kids if isinstance(kids, Array) else [kids]:
        if isinstance(kid, Dictionary) and "/S" in kid:
            yield kid
            yield from tags(kid)


def instructions(page: pikepdf.Page) -> Iterator[tuple[Any, str]]:
    """The operands and the operator of each step in which the page is drawn."""
    for step in pikepdf.parse_content_stream(page):
        yield step.operands, str(step.operator)


@pytest.fixture
def opened(content: Content) -> Iterator[Callable[[str], Pdf]]:
    files: list[Pdf] = []

    def open_file(name: str) -> Pdf:
        files.append(pikepdf.open(io.BytesIO(content(name))))
        return files[-1]

    yield open_file
    for file in files:
        file.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["short", "right", "long", "priced", "pick-up", "odd", "arabic", "hebrew", "japanese"])
def test_nothing_is_found_wrong(content: Content, tmp_path: Path, name: str) -> None:
    path = tmp_path / "note.pdf"
    path.write_bytes(content(name))
    report = validate(str(path))
    assert list(report.findings) == []


def test_what_the_file_says_of_itself(opened: Callable[[str], Pdf]) -> None:
    file = opened("short")
    assert str(file.Root.Lang) == "de-CH"
    assert file.Root.ViewerPreferences.DisplayDocTitle == True  # noqa: E712 - it is pikepdf's
    assert file.Root.MarkInfo.Marked == True  # noqa: E712
    assert str(file.docinfo["/Title"]) == "Lieferschein LS-2026-000042"
    assert str(file.docinfo["/CreationDate"]) == str(file.docinfo["/ModDate"]) == "D:20261124000000Z"
    assert bytes(file.trailer.ID[0]) == b"LS-2026-000042"
    metadata = file.Root.Metadata.read_bytes().decode()
    assert metadata.count("<rdf:RDF") == 1
    for statement in (
        'pdfaid:part="3" pdfaid:conformance="A"',
        "<pdfuaid:part>1</pdfuaid:part>",
        "<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>",
        "<xmp:CreateDate>2026-11-24T00:00:00Z</xmp:CreateDate>",
    ):
        assert statement in metadata
    assert file.open_metadata()["dc:title"] == "Lieferschein LS-2026-000042"
    assert str(file.Root.OutputIntents[0].S) == "/GTS_PDFA1"


@pytest.mark.parametrize("name", ["long", "japanese", "arabic", "hebrew", "chinese"])
def test_all_fonts_are_in_the_file(opened: Callable[[str], Pdf], name: str) -> None:
    fonts = [each for each in opened(name).objects if isinstance(each, Dictionary) and each.get("/Type") == "/Font"]
    outer = [font for font in fonts if font.Subtype == "/Type0"]
    assert len(outer) >= 2
    for font in outer:
        (inner,) = font.DescendantFonts
        assert len(inner.FontDescriptor.FontFile2.read_bytes()) > 500
        mapping = font.ToUnicode.read_bytes()
        assert b"<> \n" not in mapping
        assert b"> <>" not in mapping
        assert b"<0000> <" not in mapping.split(b"endcodespacerange")[1]  # a box in place of a letter
    names = " ".join(str(font.BaseFont) for font in outer)
    assert {"japanese": "JP", "arabic": "Arabic", "hebrew": "Hebrew", "chinese": "SC"}.get(name, "Bold") in names


def test_tags(opened: Callable[[str], Pdf]) -> None:
    file = opened("short")
    (document,) = file.Root.StructTreeRoot.K
    found = list(tags(document))
    kinds = [str(tag.S) for tag in found]
    assert kinds.count("/H1") == 1
    assert kinds.count("/Table") == 2
    figures = [tag for tag in found if tag.S == "/Figure"]
    assert [str(figure.Alt) for figure in figures] == [
        "Logo",
        "Strichcode: LS-2026-000042",
        "QR-Code: https://service.post.ch/ekp-web/ui/entry/search/990012345612345678",
    ]
    left, bottom, right, top = (float(side) for side in figures[0].A.BBox)
    assert (left, top) == pytest.approx((25 / 25.4 * 72, (297 - 12) / 25.4 * 72), abs=1)
    assert right > left
    assert top > bottom
    headers = [tag for tag in found if tag.S == "/TH"]
    columns = [tag for tag in headers if tag.A.Scope == "/Column"]
    assert len(columns) == 7
    assert all(tag.P.P.S == "/THead" for tag in columns)
    assert all(tag.A.Scope == "/Row" for tag in headers if tag not in columns)


def test_the_order_in_which_it_is_read(opened: Callable[[str], Pdf], content: Content) -> None:
    kinds = [str(tag.S) for tag in tags(opened("long").Root.StructTreeRoot)]
    assert kinds[:2] == ["/Document", "/Div"]
    assert kinds.index("/Figure") < kinds.index("/Table") < kinds.index("/H1") < kinds.index("/THead")


def test_every_piece_of_a_page_is_tagged_or_apart(opened: Callable[[str], Pdf]) -> None:
    file = opened("long")
    in_tree = {tag.objgen for tag in tags(file.Root.StructTreeRoot)}
    numbers = list(file.Root.StructTreeRoot.ParentTree.Nums)
    for page, pieces in zip(file.pages, numbers[1::2], strict=True):
        assert all(piece is None or piece.objgen in in_tree for piece in pieces)
        stack: list[str] = []
        for operands, name in instructions(page):
            if name in ("BDC", "BMC"):
                stack.append(str(operands[0]))
                if "/MCID" in (operands[1] if name == "BDC" else {}):
                    assert pieces[int(operands[1].MCID)] is not None
            elif name == "EMC":
                stack.pop()
            elif name in ("Tj", "TJ", "Do"):
                assert stack, f"{name} stands outside of all tags"


def test_letters_of_parts_say_what_they_are(opened: Callable[[str], Pdf]) -> None:
    said = [
        str(operands[1].ActualText)
        for operands, name in instructions(opened("arabic").pages[0])
        if name == "BDC" and "/ActualText" in operands[1]
    ]
    assert said == list(NOTES["arabic"].recipient[:3])


def test_the_same_note_is_the_same_file(content: Content, render: Callable[[NoteContent, Presentation], bytes]) -> None:
    assert render(NOTES["japanese"], PRESENTATION) == content("japanese")
    again = NoteContent.from_data(NOTES["pick-up"].as_data())
    assert render(again, Presentation.from_data(PRESENTATION.as_data())) == content("pick-up")


def test_several_files_in_one(content: Content, tmp_path: Path) -> None:
    names = ("short", "long", "japanese")
    merged = merge([content(name) for name in names], "Drei Lieferscheine")
    page = Paper(merged)
    assert len(page) == 5
    assert ["Seite 1 von 3" in page.text(index) for index in range(5)] == [False, True, False, False, False]
    page.close()
    with pikepdf.open(io.BytesIO(merged)) as file:
        assert str(file.docinfo["/Title"]) == "Drei Lieferscheine"
        assert str(file.Root.Lang) == "de-CH"
        with file.open_outline() as outline:
            assert [item.title for item in outline.root] == ["Lieferschein LS-2026-000042"] * 3
        pages = {each.obj.objgen for each in file.pages}
        found = list(tags(file.Root.StructTreeRoot))
        assert [str(tag.S) for tag in found].count("/Document") == 3
        assert {tag.Pg.objgen for tag in found if "/Pg" in tag} == pages
        numbers = list(file.Root.StructTreeRoot.ParentTree.Nums)
        assert [int(each.obj.StructParents) for each in file.pages] == [int(number) for number in numbers[::2]]
    assert merge([content(name) for name in names], "Drei Lieferscheine") == merged
    path = tmp_path / "merged.pdf"
    path.write_bytes(merged)
    assert list(validate(str(path)).findings) == []
