"""Make the project's .venv, or bring it up to a lock file. Called by .environment.sh where the two differ.

Runs on the bare Python that was found on the machine, so it imports the standard library alone. All it prints goes to
stderr: the output of the script that needs the environment stays clean.
"""

import ctypes
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
VENV = SCRIPTS.parent / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK_FILES = {
    "requirements.lock": ["requirements.lock"],
    "requirements-dev.lock": ["requirements.lock", "requirements-dev.lock"],  # holds the other's pins as well
}
TURN = VENV / ".turn"
UNFINISHED = VENV / ".unfinished"

# What delivery notes are rendered with, by the Debian package that brings it. All else works without.
LIBRARIES = {
    "libpango-1.0.so.0": "libpango-1.0-0",
    "libpangoft2-1.0.so.0": "libpangoft2-1.0-0",
    "libharfbuzz-subset.so.0": "libharfbuzz-subset0",
}
APT_SECONDS = 180

# A caller's settings for installing elsewhere would leave .venv empty.
PIP_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name not in {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
} | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}


class SetupError(Exception):
    """The environment could not be made; the text says why, for a person."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def turn() -> Iterator[int]:
    """Hold the right to change .venv, waiting while another process has it. Yields the lock's file descriptor."""
    VENV.mkdir(exist_ok=True)
    with TURN.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another script that is setting up .venv ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def run(command: list[str], descriptor: int, failure: str) -> None:
    """Run a command silently; if it fails, show what it printed and raise SetupError with the text `failure`."""
    # The child keeps the lock's descriptor open, so that killing this process alone does not let another one
    # write into .venv beside a pip that is still at work.
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=PIP_ENVIRONMENT,
        pass_fds=[descriptor],
        check=False,
    )
    if result.returncode != 0:
        say(result.stdout.rstrip())
        raise SetupError(failure)


def is_current(lock_name: str) -> bool:
    stamp = VENV / lock_name
    return PYTHON.exists() and stamp.exists() and stamp.read_bytes() == (SCRIPTS / lock_name).read_bytes()


def is_usable() -> bool:
    """Whether .venv can be installed into: complete, of a Python that still exists and is new enough."""
    if UNFINISHED.exists() or not PYTHON.exists():
        return False
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)"
    return subprocess.run([PYTHON, "-I", "-c", check], capture_output=True, check=False).returncode == 0


def empty() -> None:
    for entry in VENV.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != TURN:
            entry.unlink()


def install(lock_name: str, descriptor: int) -> None:
    lock_files = {name: (SCRIPTS / name).read_bytes() for name in LOCK_FILES[lock_name]}
    usable = is_usable()
    if usable:
        say("Updating the packages in .venv ...")
    else:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        say(f"Setting up .venv with Python {version}; this takes up to a minute, the first time only ...")
        empty()

    # Whoever finds this marker later knows that a process died in here and trusts nothing that it left.
    UNFINISHED.touch()
    for name in LOCK_FILES:
        (VENV / name).unlink(missing_ok=True)
    if not usable:
        run([sys.executable, "-I", "-m", "venv", str(VENV)], descriptor, "Could not make .venv (the reason is above).")
    pip = [str(PYTHON), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    # The lock file is complete: --no-deps spares pip working that out again.
    arguments = ["--no-deps", "--require-hashes", "--requirement", str(SCRIPTS / lock_name)]
    try:
        run(pip + arguments, descriptor, "Could not install the packages that the project needs (the reason is above).")
    except SetupError:
        UNFINISHED.unlink()  # pip says no before it changes anything, and takes back what it changed
        raise
    for name, content in lock_files.items():
        (VENV / name).write_bytes(content)
    UNFINISHED.unlink()


def see_to_libraries() -> None:
    """Install the system's libraries that are missing where that is allowed, and otherwise say how to."""
    if sys.platform == "darwin":
        if not any(Path(prefix, "lib", "libpango-1.0.dylib").exists() for prefix in ("/opt/homebrew", "/usr/local")):
            say("To print delivery notes, install Pango: brew install pango")
        return
    missing = [package for library, package in LIBRARIES.items() if not can_load(library)]
    if missing and not (os.geteuid() == 0 and shutil.which("apt-get") and apt_installs(missing)):
        say(f"To print delivery notes, install Pango: apt-get install {' '.join(missing)}")


def can_load(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def apt_installs(packages: list[str]) -> bool:
    say(f"Installing {', '.join(packages)} ...")
    apt = ["apt-get", "-qq", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    code = 1
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        try:
            code = subprocess.run(
                [*apt, *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment,
                timeout=APT_SECONDS,
                check=False,
            ).returncode
        except (OSError, subprocess.TimeoutExpired):
            return False
    return code == 0  # of the second: what is known of may do where the list of all there is could not be had


def main(lock_name: str) -> None:
    try:
        with turn() as descriptor:
            if not is_current(lock_name):
                install(lock_name, descriptor)
                see_to_libraries()
    except SetupError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(
            f"Could not set up .venv: {error}. It is made once in the project's folder, which must be writable until"
            " then; what the server writes can be elsewhere (DATABASE_URL, MAIL_URL)."
        )
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1])
