"""Merging PDF files."""

from collections.abc import Sequence
from io import BytesIO

import pikepdf
from pikepdf import Array, Dictionary, Name


def merge(files: Sequence[bytes], title: str) -> bytes:
    """Return all pages of the files in one file, with their tags, and with each file's title as a bookmark."""
    with pikepdf.new() as merged:
        merged.docinfo["/Title"] = title
        merged.Root.ViewerPreferences = Dictionary(DisplayDocTitle=True)
        merged.Root.MarkInfo = Dictionary(Marked=True)
        merged.Root.StructTreeRoot = merged.make_indirect(
            Dictionary(Type=Name.StructTreeRoot, K=Array(), ParentTree=Dictionary(Nums=Array()))
        )
        with merged.open_outline() as outline:
            for file in files:
                with pikepdf.open(BytesIO(file)) as one:
                    outline.root.append(pikepdf.OutlineItem(str(one.docinfo.get("/Title", "")), len(merged.pages)))
                    _append(one, merged)
        with merged.open_metadata(set_pikepdf_as_editor=False) as metadata:
            metadata["dc:title"] = title
            metadata["{http://www.aiim.org/pdfua/ns/id/}part"] = "1"  # it is PDF/UA-1 if all of the files are
        target = BytesIO()
        merged.save(target, deterministic_id=True, object_stream_mode=pikepdf.ObjectStreamMode.generate)
        return target.getvalue()


def _append(one: pikepdf.Pdf, merged: pikepdf.Pdf) -> None:
    first = len(merged.pages)
    merged.pages.extend(one.pages)
    if "/Lang" in one.Root and "/Lang" not in merged.Root:
        merged.Root.Lang = one.Root.Lang
    if "/StructTreeRoot" in one.Root:
        _append_tags(merged.copy_foreign(one.Root.StructTreeRoot), merged, first)


def _append_tags(root: pikepdf.Object, merged: pikepdf.Pdf, first: int) -> None:
    """Append the tags. Renumber the pages from `first` on, because their tags are found by these numbers."""
    tree = merged.Root.StructTreeRoot
    for document in root.K:
        document.P = tree
        tree.K.append(document)
    numbers = list(root.ParentTree.Nums)  # alternately a page's number and its tags
    for number, tags in zip(numbers[::2], numbers[1::2], strict=True):
        tree.ParentTree.Nums.append(first + int(number))
        tree.ParentTree.Nums.append(tags)
    for index, page in enumerate(merged.pages[first:], first):
        page.obj.StructParents = index
