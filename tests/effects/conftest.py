"""What the tests of delivery notes share: whether anything can be rendered here, and notes that are rendered once."""

import os
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from domain.delivery_notes.content import NoteContent
from effects.delivery_notes.fonts import FILE_NAME, write_configuration
from effects.delivery_notes.presentation import Presentation
from tests.effects.notes import NOTES, PRESENTATION
from tests.effects.paper import Paper
from tests.missing import PANGO

Render = Callable[[NoteContent, Presentation], bytes]


@pytest.fixture(scope="session")
def needs_pango(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Rendering in this process works as it does in a worker process; without Pango, the test is skipped."""
    folder = tmp_path_factory.mktemp("fonts")
    write_configuration(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "FONTCONFIG_FILE", str(folder / FILE_NAME))
        patch.setitem(os.environ, "SOURCE_DATE_EPOCH", "0")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # WeasyPrint's, about a HarfBuzz without its subset library
                import weasyprint  # noqa: F401
        except OSError:
            pytest.skip(PANGO)
        yield


@pytest.fixture(scope="session")
def render(needs_pango: None) -> Render:
    """Renders in this process, which spares the test a process that has to start."""
    from effects.delivery_notes import rendering

    def render(document: NoteContent, presentation: Presentation) -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # WeasyPrint leaves a file of its own open
            return rendering.render(document, presentation)

    return render


@pytest.fixture(scope="session")
def content(render: Render) -> Callable[[str], bytes]:
    """The PDF file of one of `NOTES`, rendered once."""
    return cache(lambda name: render(NOTES[name], PRESENTATION))


@pytest.fixture(scope="session")
def paper(content: Callable[[str], bytes]) -> Iterator[Callable[[str], Paper]]:
    """The same, opened."""
    opened: dict[str, Paper] = {}

    def open_paper(name: str) -> Paper:
        if name not in opened:
            opened[name] = Paper(content(name))
        return opened[name]

    yield open_paper
    for each in opened.values():
        each.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A merchant's folder, which is empty."""
    return tmp_path
