"""Variable fonts made static by HarfBuzz, which is much faster than WeasyPrint's own way (docs/decisions/0009).

WeasyPrint lets fontTools process each of the thousands of glyphs of a font. HarfBuzz takes only the glyphs and the
weight that are used, and gives WeasyPrint a static font.
"""

from contextlib import suppress
from typing import Any, Final

from weasyprint.pdf.fonts import Font
from weasyprint.text.ffi import ffi, harfbuzz, harfbuzz_subset

_FUNCTIONS: Final = """
    hb_bool_t hb_subset_input_pin_axis_location (
        hb_subset_input_t *input, hb_face_t *face, hb_tag_t axis_tag, float axis_value);
    hb_bool_t hb_subset_input_pin_axis_to_default (hb_subset_input_t *input, hb_face_t *face, hb_tag_t axis_tag);
"""
# The tables by which glyphs are chosen and placed. That has happened already.
_UNUSED: Final = ("BASE", "GDEF", "GPOS", "GSUB")


def use_harfbuzz() -> None:
    """Use HarfBuzz in this process if it can do it (version 6 and newer). Otherwise change nothing."""
    with suppress(AttributeError):
        ffi.cdef(_FUNCTIONS)
        _ = harfbuzz_subset.hb_subset_input_pin_axis_location, harfbuzz_subset.hb_subset_input_pin_axis_to_default
        clean = Font.clean

        def clean_static(font: Any, to_unicode: dict[int, str], hinting: bool) -> None:
            if "fvar" in font.tables and to_unicode:
                _make_static(font, sorted(to_unicode))
            clean(font, to_unicode, hinting)

        Font.clean = clean_static


def _make_static(font: Any, glyphs: list[int]) -> None:
    """Make the font static. Change nothing if a part of it would stay variable."""
    wanted = ffi.gc(harfbuzz_subset.hb_subset_input_create_or_fail(), harfbuzz_subset.hb_subset_input_destroy)
    harfbuzz_subset.hb_subset_input_set_flags(wanted, harfbuzz_subset.HB_SUBSET_FLAGS_RETAIN_GIDS)
    _add(harfbuzz_subset.hb_subset_input_glyph_set(wanted), glyphs)
    tables = harfbuzz_subset.hb_subset_input_set(wanted, harfbuzz_subset.HB_SUBSET_SETS_DROP_TABLE_TAG)
    _add(tables, sorted(map(_tag, _UNUSED)))
    harfbuzz_subset.hb_subset_input_pin_axis_to_default(wanted, font.hb_face, _tag("wdth"))
    for axis, value in {"wght": font.weight, **font.variations}.items():
        harfbuzz_subset.hb_subset_input_pin_axis_location(wanted, font.hb_face, _tag(axis), value)
    face = ffi.gc(harfbuzz_subset.hb_subset_or_fail(font.hb_face, wanted), harfbuzz.hb_face_destroy)
    if face != ffi.NULL and not _has_table(face, "fvar"):
        font.hb_face = face
        font.tables.remove("fvar")


def _tag(name: str) -> int:
    tag: int = harfbuzz.hb_tag_from_string(name.encode(), -1)
    return tag


def _add(numbers: Any, values: list[int]) -> None:
    harfbuzz.hb_set_add_sorted_array(numbers, ffi.new(f"hb_codepoint_t[{len(values)}]", values), len(values))


def _has_table(face: Any, name: str) -> bool:
    table = ffi.gc(harfbuzz.hb_face_reference_table(face, _tag(name)), harfbuzz.hb_blob_destroy)
    return bool(harfbuzz.hb_blob_get_length(table))
