"""Writes `schema.graphql`, or says whether it is out of date."""

import sys

import typer

from api.schema.root import schema
from api.settings import ROOT

PATH = ROOT / "schema.graphql"


def text() -> str:
    return schema.as_str() + "\n"


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    check: bool = typer.Option(False, "--check", help="Change nothing; exit with 1 where the file is out of date."),
) -> None:
    """Write the GraphQL schema to schema.graphql."""
    if not check:
        try:
            PATH.write_text(text(), encoding="utf-8")
        except OSError as error:
            sys.exit(f"{PATH} cannot be written ({error.strerror}).")
    elif not PATH.exists() or PATH.read_text(encoding="utf-8") != text():
        sys.exit("schema.graphql is out of date: run scripts/schema and review the change.")


if __name__ == "__main__":
    app(prog_name="scripts/schema")
