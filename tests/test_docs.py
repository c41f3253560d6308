"""What the documents name exists, and what they must list is listed."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from api.metrics import Metrics
from api.settings import ROOT, Settings
from domain.actors import Scope
from domain.imports.formats import FORMATS
from models.enums import AutomationKind

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = ("api/", "docs/", "domain/", "effects/", "models/", "scripts/", "tests/")
EXAMPLES = ("order_held", "paywerk", "domain/imports/lines.py", "test_lines_import")  # in recipes for what is not there

CODE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`([^`\n]+)`")
PYTHON = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def paths(text: str) -> Iterator[str]:
    """The paths that are named outside of code blocks, without arguments behind them."""
    for name in NAME.findall(CODE.sub("", text)):
        path = name.split()[0]
        if path.startswith(FOLDERS) and not any(example in path for example in EXAMPLES):
            yield path


def anchor(heading: str) -> str:
    """As forges make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert [path for path in paths(text) if not list(ROOT.glob(path.rstrip("/")))] == []
    for link in LINK.findall(CODE.sub("", text)):
        if "://" not in link and not link.startswith("mailto:"):
            path, _, fragment = link.partition("#")
            target = (document.parent / path) if path else document
            assert target.exists(), link
            if fragment:
                assert fragment in map(anchor, HEADING.findall(target.read_text(encoding="utf-8"))), link


def test_every_setting_is_described_to_operators() -> None:
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in read("operating.md")] == []


def test_every_scope_is_described_to_operators() -> None:
    assert [scope for scope in Scope if f"`{scope}`" not in read("operating.md")] == []


def test_every_metric_is_described_to_operators() -> None:
    text = read("operating.md")
    names = {name.removeprefix("orderstream_") for name in re.findall(r"# TYPE (orderstream_\w+)", exposition())}
    suffixes = tuple(re.findall(r"`…(_\w+)`", text))
    assert [
        name
        for name in names
        if not name.endswith("_created") and f"`{name}`" not in text and not name.endswith(suffixes)
    ] == []


def exposition() -> str:
    return Metrics(enabled=True).exposition().decode()


def test_every_automation_is_described_to_merchants() -> None:
    assert [kind for kind in AutomationKind if f"`{kind}`" not in read("merchants.md")] == []


def test_every_import_format_is_described_to_operators() -> None:
    words = {word for code in NAME.findall(read("operating.md")) for word in code.split()}
    assert FORMATS.keys() - words == set()


def imports(code: str) -> Iterator[tuple[str, str]]:
    """Yield each name that the code imports, after its module."""
    for node in ast.walk(ast.parse(dedent(code))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, each.name) for each in node.names)


def test_what_a_recipe_imports_exists() -> None:
    found = [each for code in PYTHON.findall(read("contributing.md")) for each in imports(code)]
    assert found
    for module, name in found:
        if not any(example in module for example in EXAMPLES):
            assert hasattr(import_module(module), name), f"from {module} import {name}"
