"""The page as HTML, from a template and a note's content."""

from functools import lru_cache
from pathlib import Path
from typing import Final

from domain.delivery_notes.content import NoteContent
from effects.delivery_notes.errors import RenderingFailed
from effects.delivery_notes.page import direction, page
from effects.delivery_notes.presentation import Presentation
from effects.merchant.templates import TemplateFault, Templates

NAME: Final = "template.html"
DEFAULT: Final = "default/template.html"  # which a merchant's own may extend

_FOLDER: Final = Path(__file__).parent


def write_html(content: NoteContent, presentation: Presentation) -> str:
    """Return the page. Raise RenderingFailed, which names the template and the line, if the template is wrong."""
    variables = page(content, presentation)
    try:
        return _templates(presentation.template).fill(NAME, variables)
    except TemplateFault as fault:
        raise RenderingFailed(str(fault)) from fault


@lru_cache(maxsize=32)
def _templates(template: str | None) -> Templates:
    built_in = (_FOLDER / DEFAULT).read_text(encoding="utf-8")
    sources = {DEFAULT: built_in, NAME: built_in if template is None else template}
    return Templates(sources, direction=direction)
