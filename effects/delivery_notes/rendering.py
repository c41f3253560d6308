"""A delivery note as a PDF file. Only for the worker process: importing this needs Pango, and takes a while."""

from pathlib import Path
from typing import Final

from domain.delivery_notes.content import NoteContent
from effects.delivery_notes.instances import use_harfbuzz
from effects.delivery_notes.pdf import write_pdf
from effects.delivery_notes.presentation import Presentation
from effects.delivery_notes.tags import spell_out
from effects.delivery_notes.template import write_html

_STYLE: Final = (Path(__file__).parent / "default" / "style.css").read_text(encoding="utf-8")

use_harfbuzz()
spell_out()


def render(content: NoteContent, presentation: Presentation) -> bytes:
    """Return the PDF file, always the same for the same content and presentation. Raise RenderingFailed."""
    style = _STYLE if presentation.style is None else presentation.style
    return write_pdf(write_html(content, presentation), style, content.number)


def warm_up() -> None:
    """Load everything that the first note needs."""
    write_pdf('<html lang="en"><title>-</title><p>-<b>-</b></p></html>', _STYLE, "-")
