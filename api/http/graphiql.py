"""GraphiQL, served from this machine: no script of a third party runs on the page where tokens are typed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from os import PathLike, stat_result
from pathlib import Path
from string import Template

from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "graphiql_page"
GRAPHIQL = ("graphene_django_graphiql_static", "static/graphene_django_graphiql_static")

SECURITY_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",  # GraphiQL's menus and dialogs write style elements
            "img-src 'self' data:",
            "font-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Frame-Options": "DENY",
}
REVALIDATE = "no-cache"
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Example:
    """An operation that waits in a tab: its name, the GraphQL document, and the variables editor's text."""

    name: str
    query: str
    variables: str | None


def examples() -> list[Example]:
    """Return the tabs that a new browser gets, from the left."""
    return [_example(path) for path in sorted((FOLDER / "examples").glob("*.graphql"))]


def _example(path: Path) -> Example:
    query = path.read_text(encoding="utf-8")
    variables = path.with_suffix(".json")
    return Example(
        name=path.stem.partition("-")[2],
        query=query,
        variables=json.dumps(json.loads(variables.read_bytes()), indent=2) if variables.exists() else None,
    )


class Assets(StaticFiles):
    """The page's scripts and styles. With `?v=` and `version`, browsers may cache them for ever."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER / "assets", packages=[GRAPHIQL])
        files = (path for folder in self.all_directories for path in sorted(Path(folder).iterdir()) if path.is_file())
        contents = sha256()
        for path in files:
            contents.update(sha256(path.read_bytes()).digest())
        self.version = contents.hexdigest()[:16]

    def file_response(
        self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        present = scope["query_string"] == f"v={self.version}".encode()
        response.headers.update({**SECURITY_HEADERS, "Cache-Control": FOR_EVER if present else REVALIDATE})
        return response


@cache
def assets() -> Assets:
    """Return the application for a mount at `graphiql/`, beside the address of the page."""
    return Assets()


def render(tabs: Sequence[Example], version: str) -> str:
    """Return the page's HTML. All addresses in it are relative, so that it works behind a proxy that adds a prefix."""
    template = Template((FOLDER / "page.html").read_text(encoding="utf-8"))
    data = json.dumps([asdict(tab) for tab in tabs])
    # In a script element, "</script" and "<!--" mean something even inside a string.
    return template.substitute(version=version, examples=data.replace("<", "\\u003c"))


@cache
def _html() -> str:
    return render(examples(), assets().version)


def page() -> HTMLResponse:
    """Return what `GET /graphql` answers to a browser."""
    return HTMLResponse(_html(), headers={**SECURITY_HEADERS, "Cache-Control": REVALIDATE, "Vary": "Accept"})
