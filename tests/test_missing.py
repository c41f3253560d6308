"""What a run of the tests says where this machine lacks something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.settings import ROOT
from tests.missing import BROWSER, VARIABLE


@pytest.mark.slow
@pytest.mark.parametrize(("value", "code"), [("", 0), ("true", 1)])
def test_what_was_skipped_is_said_at_the_end(tmp_path: Path, value: str, code: int) -> None:
    one = "tests/api/test_browsers.py::test_pages_of_two_origins_in_a_browser"
    command = (sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "--databases", "sqlite", one)
    environment = {**os.environ, VARIABLE: value, "PATH": str(tmp_path)}  # in which there is no Chromium
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    lines = done.stdout.splitlines()
    assert f"Skipped 1 test: {BROWSER}" in lines
    assert (f"FAILED: with {VARIABLE} set, nothing may be skipped." in lines) == bool(code)
    assert done.returncode == code, done.stdout + done.stderr
