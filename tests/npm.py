"""The JavaScript clients that others use, run by Node: the scripts in tests/node, and the packages that they import.

The packages are what the lock file there pins. They are downloaded once, into the user's cache.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.missing import NODE

FOLDER = Path(__file__).parent / "node"
FILES = ("package.json", "package-lock.json")
NPM_SECONDS = 120
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000")


@asynccontextmanager
async def running(script: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A script of tests/node, as `running_text` does it."""
    async with running_text((FOLDER / script).read_text(encoding="utf-8"), *arguments) as process:
        yield process


@asynccontextmanager
async def running_text(script: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module given as text, with pipes from its output and to its input, until the block ends.

    Skip the test if Node or the packages are not to be had.
    """
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip(NODE)
    # A module finds its packages beside itself, or, if it is given as text, in the current folder.
    process = await asyncio.create_subprocess_exec(
        *(node, "--input-type=module", "--eval", script, *arguments),
        cwd=await asyncio.to_thread(_installed),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@cache
def _installed() -> Path:
    """The folder that has the packages."""
    pinned = hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in FILES)).hexdigest()[:16]
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orderstream" / f"node-{pinned}"
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached.parent, prefix="node-") as scratch:
            _install(Path(scratch) / "packages")
            try:
                (Path(scratch) / "packages").rename(cached)
            except OSError:
                assert cached.exists()  # another process of the run was quicker
    return cached


def _install(folder: Path) -> None:
    folder.mkdir()
    for name in FILES:
        shutil.copy(FOLDER / name, folder)
    try:
        subprocess.run(INSTALL, cwd=folder, check=True, capture_output=True, encoding="utf-8", timeout=NPM_SECONDS)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"npm could not install the clients: {error.stderr.strip()[-300:]}")
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not install the clients in time")
