"""The commands on machines that are set up in another way than ours, each run by its script from a checkout there."""

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.settings import ROOT
from tests.clients import ALL_SCOPES, an_order, new_client, until

pytestmark = pytest.mark.wire

# As the system would give it to us: another text where the locale is not of UTF-8.
ODD = os.fsdecode('C# a?b x%41y ü [x] a&b semi;colon quote\'d "dq" a@b $HOME `id` \\ new\nline'.encode())
PARTS = ("api", "domain", "effects", "models", "scripts")


def check_out(folder: Path) -> Path:
    """Copy the project into this new folder, with an environment that is up to date."""
    folder.mkdir(parents=True)
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part)
    environment = folder / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (environment / "lib").symlink_to(Path(sys.prefix) / "lib")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", environment)
    for lock in (folder / "scripts").glob("*.lock"):
        shutil.copy(lock, environment)
    return folder


@asynccontextmanager
async def running(
    checkout: Path, script: str, *arguments: str, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A script of the checkout, which is ended with the block as if by Ctrl-C."""
    unset = {"DATABASE_URL", "MAIL_URL", "PYTHONPATH"}
    process = await asyncio.create_subprocess_exec(
        *(str(checkout / "scripts" / script), *arguments),
        env={**{name: value for name, value in os.environ.items() if name not in unset}, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.communicate()


async def run(checkout: Path, script: str, *arguments: str, **settings: str) -> tuple[int | None, str, str]:
    """The script's exit code, stdout and stderr."""
    async with running(checkout, script, *arguments, **settings) as process:
        out, err = await process.communicate()
        return process.returncode, os.fsdecode(out), os.fsdecode(err)


@pytest.mark.slow
async def test_a_server_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    """It finds its database and writes its mail where they belong, and says on which port it listens."""
    checkout = check_out(tmp_path / ODD)
    scopes = [f"--scope={scope}" for scope in ALL_SCOPES]
    code, token, err = await run(checkout, "token", "create", "--name", "Shop", *scopes)
    assert (code, err) == (0, "")
    book = {"title": "E-book", "quantity": 1, "unitPrice": "5.00", "downloadUrl": "https://files.example/book"}
    lines = [{**book, "requiresShipping": False}]
    order = an_order(source="POS", customer={"email": "a@example.com"}, lines=lines)
    query = "mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { lines { download } } } }"
    async with (
        running(checkout, "serve", "--port", "0", EFFECTS="true") as process,
        new_client(headers={"Authorization": f"Bearer {token.strip()}"}) as client,
    ):
        assert process.stderr is not None
        while b"Uvicorn running" not in (line := await process.stderr.readline()):
            assert line, "the server did not start"
        [url] = re.findall(r"http://127\.0\.0\.1:[1-9][0-9]*", line.decode())
        answer = await client.post(f"{url}/graphql", json={"query": query, "variables": {"input": order}})
        assert "errors" not in answer.json(), answer.text
        [placed] = answer.json()["data"]["placeOrder"]["order"]["lines"]
        assert placed["download"].startswith(f"{url}/downloads/")
        await until(lambda: [*(checkout / ".data" / "mail").glob("*.eml")])
    assert {"orderstream.sqlite3", "mail"} <= set(os.listdir(checkout / ".data"))
    assert os.listdir(tmp_path) == [ODD]


@pytest.mark.slow
@pytest.mark.rendering
@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}], ids=["", "POSIX"])
async def test_documents_in_a_folder_with_an_odd_name(tmp_path: Path, locale: dict[str, str]) -> None:
    checkout = check_out(tmp_path / ODD)
    file = checkout / "note.pdf"
    code, _, err = await run(checkout, "delivery-note", str(file), TMPDIR=str(checkout), **locale)
    assert (code, err) == (0, "")
    assert file.read_bytes().startswith(b"%PDF-")


async def test_a_folder_with_a_colon_is_refused(tmp_path: Path) -> None:
    """PYTHONPATH has colons between folders, and venv refuses to make an environment there."""
    checkout = check_out(tmp_path / "a:b")
    refusal = f"Python can run nothing in a folder with a colon in its path: rename or move {checkout}.\n"
    assert await run(checkout, "serve") == (1, "", refusal)
