"""Templates of the merchant, run in a sandbox.

A template sees its variables and nothing of the machine. Values are text, even if they look like HTML or a template.
"""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
from jinja2 import FunctionLoader, StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from effects.merchant.texts import fill_in

_JINJA: Final = Path(jinja2.__file__).parent


class TemplateFault(Exception):
    """A template is wrong. The message names it and the line."""


class Templates:
    """Jinja templates by their names. They may extend and import each other, and call the `functions`.

    Values are escaped for HTML, unless the template's name ends with `.txt`.
    """

    def __init__(self, sources: Mapping[str, str], **functions: Any) -> None:
        self._sources = sources
        self._environment = ImmutableSandboxedEnvironment(
            loader=FunctionLoader(self._load),
            autoescape=lambda name: not (name or "").endswith(".txt"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(fill=_fill, **functions)

    def _load(self, name: str) -> tuple[str, str, None] | None:
        return (self._sources[name], name, None) if name in self._sources else None

    def check(self, name: str) -> None:
        """Raise TemplateFault if the template cannot be parsed."""
        try:
            self._environment.get_template(name)
        except TemplateSyntaxError as error:
            raise TemplateFault(f"{error.name}, line {error.lineno}: {error.message}") from error

    def fill(self, name: str, variables: Mapping[str, Any]) -> str:
        """Return the text of the template with these variables. Raise TemplateFault."""
        try:
            return self._environment.get_template(name).render(variables)
        except MemoryError:
            raise
        except TemplateSyntaxError as error:
            raise TemplateFault(f"{error.name}, line {error.lineno}: {error.message}") from error
        except Exception as error:
            line = self._line(error)
            if line is None:
                raise
            raise TemplateFault(f"{line}: {error}") from error

    def _line(self, error: Exception) -> str | None:
        """Return the line of the template that caused the error, None if no template did."""
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if frame.filename in self._sources]
        raised_by_jinja = frames[-1].filename.startswith(str(_JINJA))
        if ours and (isinstance(error, TemplateError) or raised_by_jinja or frames[-1] is ours[-1]):
            return f"{ours[-1].filename}, line {ours[-1].lineno}"
        return None


def _fill(text: str, **values: str) -> str:
    try:
        return fill_in(text, values)
    except KeyError as error:
        raise UndefinedError(f"the placeholder {error} has no value") from error
