"""The peers that run on Node: their packages, in the versions that `package.json` names."""

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
INSTALL_SECONDS = 180


class NoNode(Exception):
    """There is no Node here, or its packages could not be had; the text says which."""


def install(folder: Path) -> str:
    """Copies the peers into this folder and fetches what they need: where `node` is.

    Raises `NoNode`.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NoNode("node and npm are not installed")
    for path in (*HERE.glob("*.mjs"), HERE / "package.json"):
        shutil.copy(path, folder)
    command = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, encoding="utf-8", timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoNode(f"npm took longer than {INSTALL_SECONDS} s") from None
    if done.returncode:
        raise NoNode(f"npm install failed: {done.stderr.strip()[-300:]}")
    return node
