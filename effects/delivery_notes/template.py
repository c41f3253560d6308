"""The page as HTML: a template, filled with a document.

A template is the merchant's, and the merchant's only. It is kept in a sandbox nevertheless: it has the document, and
nothing of the machine that it is filled on. What the document says is text, whatever it looks like.
"""

import traceback
from functools import lru_cache
from pathlib import Path
from typing import Final

import jinja2
from jinja2 import BaseLoader, FunctionLoader, StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.delivery_notes.document import Document
from effects.delivery_notes.errors import RenderingFailed
from effects.delivery_notes.page import direction, page
from effects.delivery_notes.presentation import Presentation
from effects.delivery_notes.texts import filled

NAME: Final = "template.html"
DEFAULT: Final = "default/template.html"  # which a merchant's own may extend

_FOLDER: Final = Path(__file__).parent
_JINJA: Final = Path(jinja2.__file__).parent


def write_html(document: Document, presentation: Presentation) -> str:
    """The whole page. Raises `RenderingFailed`, which names the template and the line, where the template is wrong."""
    variables = page(document, presentation)
    environment = _environment(presentation.template)
    try:
        return environment.get_template(NAME).render(variables)
    except MemoryError:
        raise
    except TemplateSyntaxError as error:
        raise RenderingFailed(f"{error.name}, line {error.lineno}: {error.message}") from error
    except Exception as error:
        line = _line(error)
        if line is None:
            raise
        raise RenderingFailed(f"{line}: {error}") from error


@lru_cache(maxsize=32)
def _environment(template: str | None) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=_loader(template), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(direction=direction, fill=_fill)
    return environment


def _loader(template: str | None) -> BaseLoader:
    built_in = (_FOLDER / DEFAULT).read_text(encoding="utf-8")
    sources = {DEFAULT: built_in, NAME: built_in if template is None else template}

    def load(name: str) -> tuple[str, str, None] | None:
        return (sources[name], name, None) if name in sources else None

    return FunctionLoader(load)


def _fill(text: str, **values: str) -> str:
    try:
        return filled(text, values)
    except KeyError as error:
        raise UndefinedError(f"the placeholder {error} has no value") from error


def _line(error: Exception) -> str | None:
    """The template's line that is to blame, `None` where it is not the template."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename in (NAME, DEFAULT)]
    raised_by_jinja = frames[-1].filename.startswith(str(_JINJA))
    if ours and (isinstance(error, TemplateError) or raised_by_jinja or frames[-1] is ours[-1]):
        return f"{ours[-1].filename}, line {ours[-1].lineno}"
    return None
