"""What becomes of a path in a URL, and of the paths that people write into URLs."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from effects.mail.eml import FolderTransport
from effects.mail.transport import transport_of
from models.engine.database import config, connected, migrate
from models.engine.file_urls import file_url, path_from
from tests.database import sqlite_path

ODD = [
    *("C#", "a?b", "x%41y", "50%", "%zz", "with space", "ü€", "[x]", "a&b=c", "semi;colon", "quote'd", '"dq"', "a:b"),
    *("a@b", "new\nline", "\t", "~", "*", "\\", "a+b", b"caf\xe9".decode(errors="surrogateescape")),
]


def as_given(text: str) -> str:
    """The text as the system would give it to us: another one where the locale is not of UTF-8."""
    return os.fsdecode(text.encode(errors="surrogateescape"))


@pytest.mark.parametrize("name", ODD)
def test_a_path_comes_back_from_a_url_as_it_was(name: str) -> None:
    path = Path("/srv") / as_given(name) / "orders"
    assert path_from(urlsplit(file_url("file", path)).path) == str(path)
    assert sqlite_path(f"{file_url('sqlite', path)}?busy_timeout=10") == str(path)
    transport = transport_of(file_url("file", path))
    assert isinstance(transport, FolderTransport)
    assert transport.folder == path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///srv/orders.sqlite3", "/srv/orders.sqlite3"),
        ("sqlite://data/orders.sqlite3?synchronous=FULL", "data/orders.sqlite3"),
        ("sqlite://:memory:", ":memory:"),
        ("sqlite:///srv/my orders/ü.sqlite3", "/srv/my orders/ü.sqlite3"),
        ("sqlite:///srv/my%20orders/%C3%BC.sqlite3", "/srv/my orders/ü.sqlite3"),
        ("sqlite:///srv/C#/[x].sqlite3", "/srv/C#/[x].sqlite3"),
        ("sqlite://[x]/a+b.sqlite3", "[x]/a+b.sqlite3"),
        ("sqlite:///srv/a%3Fb.sqlite3?busy_timeout=10", "/srv/a?b.sqlite3"),
        ("sqlite:///srv/100%.sqlite3", "/srv/100%.sqlite3"),
    ],
)
def test_the_file_of_a_sqlite_url(url: str, path: str) -> None:
    assert sqlite_path(as_given(url)) == as_given(path)


@pytest.mark.parametrize("read", [config, transport_of])
def test_no_file_has_a_null_character_in_its_name(read: object) -> None:
    assert callable(read)
    with pytest.raises(ValueError, match="No path has %00 in it"):
        read("sqlite:///srv/%00" if read is config else "file:///srv/%00")


@pytest.mark.slow
async def test_options_of_an_odd_url_hold(tmp_path: Path) -> None:
    path = tmp_path / "a?b=c#d&e%41" / "orders.sqlite3"
    url = f"{file_url('sqlite', path)}?busy_timeout=10"
    await migrate(url)
    async with connected(url):
        assert path.exists()
    assert config(url)["connections"]["default"]["credentials"]["busy_timeout"] == "10"
    assert os.listdir(tmp_path) == ["a?b=c#d&e%41"]
