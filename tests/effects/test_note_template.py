"""A merchant's own template: what goes wrong in it is said, and nothing outside of it can be reached from it."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.delivery_notes.content import NoteContent
from effects.delivery_notes.errors import RenderingFailed
from effects.delivery_notes.presentation import Presentation
from tests.effects.notes import NOTES, PRESENTATION
from tests.effects.test_note_settings import png

Render = Callable[[NoteContent, Presentation], bytes]


def html(body: str) -> str:
    return f'<html lang="de"><title>x</title>\n{body}</html>'


def image(kind: str, content: bytes) -> str:
    return f'<img alt="x" src="data:{kind};base64,{base64.b64encode(content).decode()}">'


def refusal(render: Render, **own: Any) -> str:
    with pytest.raises(RenderingFailed) as raised:
        render(NOTES["pick-up"], replace(PRESENTATION, **own))
    return raised.value.message


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (html("{{ ''.__class__.__mro__ }}"), "line 2: access to attribute '__class__' of 'str' object is unsafe."),
        (html("{{ document.number.format.__globals__ }}"), "line 2: access to attribute '__globals__'"),
        (html("{{ fill.__globals__ }}"), "line 2: access to attribute '__globals__' of 'function' object is unsafe."),
        (html("{{ fill('{x.__class__}', x='') }}{{ nothing }}"), "line 2: 'nothing' is undefined"),
        (html("{% set _ = texts.update({}) %}"), "line 2: "),
        (html("{% include '/etc/passwd' %}"), "line 2: /etc/passwd"),
        (html("{% include '../style.css' %}"), "line 2: ../style.css"),
        (html("{% import 'os' as os %}"), "line 2: os"),
        (html("{{ documents }}"), "line 2: 'documents' is undefined"),
        (html("{{ texts.titel }}"), "line 2: 'dict object' has no attribute 'titel'"),
        (html("{{ fill(texts.title) }}"), "the placeholder 'number' has no value"),
        (html("{{ 1 / 0 }}"), "line 2: division by zero"),
        (html("{{ range(10 ** 9) }}"), "line 2: Range too big."),
        (html("{% if %}"), "line 2: Expected an expression, got 'end of statement block'"),
        (html("{% for each in texts %}"), "line 2: Unexpected end of template."),
    ],
)
def test_what_is_wrong_is_said_with_its_line(render: Render, template: str, message: str) -> None:
    said = refusal(render, template=template)
    assert message in said
    assert said.startswith("template.html, line 2: ")
    assert "Traceback" not in said


def test_an_error_in_the_built_in_template_names_that(render: Render) -> None:
    texts = {**PRESENTATION.texts, "de-CH": {}}
    with pytest.raises(KeyError):
        render(NOTES["pick-up"], replace(PRESENTATION, texts=texts))
    own = '{% extends "default/template.html" %}{% block style %}{{ colour }}{% endblock %}'
    assert refusal(render, template=own) == "template.html, line 1: 'colour' is undefined"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('<img alt="x" src="file:///etc/passwd">', "a file: URL"),
        ('<img alt="x" src="http://127.0.0.1:9/x.png">', "a http: URL"),
        ('<img alt="x" src="FTP://127.0.0.1/x.png">', "a ftp: URL"),
        ('<link rel="stylesheet" href="https://example.com/x.css">', "a https: URL"),
        ('<link rel="attachment" href="file:///etc/passwd">', "a file: URL"),
        ("<style>@import url(file:///etc/passwd);</style>", "a file: URL"),
        (
            "<style>@font-face { font-family: x; src: url(file:///etc/passwd) } p { font-family: x }</style>",
            "a file: URL",
        ),
        ("<style>p { background: url(http://127.0.0.1:9/x.png) }</style><p>x</p>", "a http: URL"),
        ('<object data="file:///etc/passwd"></object>', "a file: URL"),
        (
            image(
                "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:9/x"/></svg>'
            ),
            "a http: URL",
        ),
        (
            '<svg width="9" height="9"><image href="file:///etc/passwd" width="9" height="9"/></svg>',
            "a file: URL",
        ),
    ],
)
def test_nothing_outside_is_fetched(render: Render, body: str, kind: str) -> None:
    assert refusal(render, template=html(body)) == f"The page refers to {kind}; it may refer to data: URLs only."


def test_nothing_outside_is_fetched_for_a_style_sheet(render: Render) -> None:
    for _ in range(2):  # what was parsed before is kept, unless it was refused
        said = refusal(render, style="@import url(file:///etc/passwd);")
        assert said == "The page refers to a file: URL; it may refer to data: URLs only."


def test_a_logo_that_refers_to_something_else(render: Render) -> None:
    svg = (
        b'<svg xmlns="http://www.w3.org/2000/svg"><image href="https://example.com/x.png" width="9" height="9"/></svg>'
    )
    said = refusal(render, logo=f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}")
    assert said == "The page refers to a https: URL; it may refer to data: URLs only."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('<img alt="x" src="logo.png">', "Relative URI reference without a base URI"),
        ('<img alt="x" src="data:image/png;base64,AAAA">', "Failed to load image"),
        (image("image/png", png(10, 10)).replace('alt="x"', ""), "has no required alt description"),
        ("<a href='#nowhere'>x</a>", "No anchor #nowhere"),
    ],
)
def test_what_would_be_left_out_is_said(render: Render, body: str, message: str) -> None:
    said = refusal(render, template=html(body))
    assert message in said
    assert len(said) < 300


@pytest.mark.parametrize("picture", [png(3_000, 1_500), png(100_000, 100_000, rows=1)], ids=["large", "bomb"])
def test_an_image_that_is_too_large(render: Render, picture: bytes) -> None:
    said = refusal(render, template=html(image("image/png", picture)))
    assert said == "An image on the page has more than 4 megapixels."


def test_an_image_of_allowed_size(render: Render) -> None:
    assert render(NOTES["pick-up"], replace(PRESENTATION, template=html(image("image/png", png(2_000, 1_999)))))


def test_what_customers_write_is_text(render: Render, tmp_path: Path) -> None:
    name = '"><img src="file:///etc/passwd"><script>{{ document }}</script>{% include "x" %}'
    document = replace(NOTES["pick-up"], customer=name, order_number=name[:40], external_reference=name)
    assert render(document, PRESENTATION).startswith(b"%PDF-1.7")
