"""Registered documents from the command line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from graphql import GraphQLError, OperationDefinitionNode, parse

from api.commands.database import run
from api.execution.operations import errors_in
from domain.actors import system
from domain.registered_documents import Document, list_documents, register_documents, remove_document

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Register, list and remove the GraphQL documents that may be sent where no others may: with a token that was"
    " created with --registered-only, or by everybody where DOCUMENTS=registered.",
)
ACTOR = system("scripts/documents")
_APOLLO = "apollo-persisted-query-manifest"


class Unusable(Exception):
    """A file cannot be registered: why is the message."""


@app.command()
def register(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="A GraphQL document, or JSON: a manifest of Apollo's or Relay's persisted queries.",
        ),
    ],
) -> None:
    """Register documents: all of them, or none where one of them is not valid.

    A document is sent to the character as it is in its file; or by its SHA-256, which is printed; or by what the
    manifest calls it. One that is registered already stays. Running servers take them at once.
    """
    try:
        documents = [document for path in files for document in read(path)]
    except Unusable as unusable:
        typer.echo(str(unusable), err=True)
        raise typer.Exit(1) from unusable
    for row in run(register_documents(actor=ACTOR, documents=documents)):
        typer.echo(f"{row.hash}  {row.name}")


@app.command("list")
def list_all() -> None:
    """List the documents: hash, what clients call it if that is something else, operations, time."""
    for row in run(list_documents(actor=ACTOR)):
        called = f"  {row.identifier}" if row.identifier else ""
        typer.echo(f"{row.hash}{called}  {row.name}  {row.registered_at:%Y-%m-%d %H:%M}")


@app.command()
def remove(
    documents: Annotated[list[str], typer.Argument(help="Hashes, or what the manifest calls them.")],
) -> None:
    """Take documents off the list. Running servers refuse them within seconds; what is subscribed goes on."""
    for document in documents:
        row = run(remove_document(actor=ACTOR, identifier=document.removeprefix("sha256:")))
        typer.echo(f"removed {row.name}")


def read(path: Path) -> list[Document]:
    """Return the documents of a file. Raise `Unusable`, naming the file."""
    try:
        content = path.read_bytes().decode()  # as it is: other line ends would be another document
        if path.suffix.lower() != ".json":
            return [_document(content, None)]
        return [_document(text, identifier) for identifier, text in _operations(orjson.loads(content))]
    except (Unusable, GraphQLError, ValueError) as error:
        raise Unusable(f"{path}: {error}") from error


def _operations(manifest: Any) -> Iterator[tuple[str, Any]]:
    """Yield identifiers and texts. Apollo's manifest is a list under a head, Relay's an object of texts by id."""
    match manifest:
        case {"format": str(kind), "operations": list(operations)}:
            if kind != _APOLLO or manifest.get("version") != 1:
                raise Unusable(f"this is not version 1 of {_APOLLO}")
            for operation in operations:
                if not isinstance(operation, dict) or not isinstance(operation.get("id"), str):
                    raise Unusable("each of the operations is an object with an id and a body")
                yield operation["id"], operation.get("body")
        case dict():
            yield from manifest.items()
        case _:
            raise Unusable("this is no manifest of Apollo's or Relay's")


def _document(text: Any, identifier: str | None) -> Document:
    """Return the document. Raise `Unusable` or `GraphQLError` if it could never be executed."""
    from api.schema.root import schema  # a second, which list and remove need not take

    if not isinstance(text, str):
        raise Unusable(f"{identifier} has no text of a document")
    node = parse(text)
    for error in errors_in(schema._schema, node, introspection=False):
        raise Unusable(str(error))
    operations = [each for each in node.definitions if isinstance(each, OperationDefinitionNode)]
    if not operations:
        raise Unusable("there is no operation in this document")
    names = ", ".join(each.name.value if each.name else each.operation.value for each in operations)
    return Document(text, names, identifier and identifier.removeprefix("sha256:"))


if __name__ == "__main__":
    app(prog_name="scripts/documents")
