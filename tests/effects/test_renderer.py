"""The processes that render: what they cost, what they survive, and what becomes of them."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from api.settings import ROOT
from effects.delivery_notes import pool
from effects.delivery_notes.errors import RenderingBusy, RenderingFailed, RenderingUnavailable
from effects.delivery_notes.renderer import Renderer
from effects.delivery_notes.worker import NICENESS
from tests.clients import until
from tests.effects.notes import NOTES, PRESENTATION
from tests.missing import PROC

pytestmark = [
    pytest.mark.usefixtures("needs_pango"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason=PROC),
]

SMALL = replace(PRESENTATION, template='<html lang="de"><title>x</title>{{ document.number }}</html>')
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
ENDLESS = replace(PRESENTATION, template=LOOP)
HOG = replace(PRESENTATION, template="{{ 'x' * 3000000000 }}")
NOTE = NOTES["pick-up"]


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    """With one process, so that jobs meet in it."""
    renderer = Renderer(processes=1, waiting=1, seconds=60)
    yield renderer
    await renderer.close()


def workers(parent: int | None = None) -> list[int]:
    """The processes that render for this one, or for another one."""
    parent = parent or os.getpid()
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _is_worker(path, parent)]


def _is_worker(path: Path, parent: int | None) -> bool:
    try:
        state, of = (path / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
        command = (path / "cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return False
    return parent in (None, int(of)) and state != "Z" and b"effects.delivery_notes.worker" in command


def runs(pid: int) -> bool:
    return _is_worker(Path(f"/proc/{pid}"), None)


async def at_work(pid: int) -> None:
    """Waits until the process has been busy for some hundredths of a second from now."""
    start = busy(pid)
    await until(lambda: busy(pid) >= start + 5)


def busy(pid: int) -> int:
    """For how many hundredths of a second, as a rule, a process has computed."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11])


def environment_of(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8")
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def entries(folder: str) -> set[str]:
    return {path.name for path in Path(folder).glob("*")}


async def test_a_warm_process(
    renderer: Renderer, content: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://user:secret@host/db")
    assert workers() == []
    await renderer.require()
    (pid,) = workers()
    assert await renderer.render(NOTE, PRESENTATION) == content("pick-up")
    merged = await renderer.merge([content("short"), content("pick-up")], "Zwei")
    assert merged.startswith(b"%PDF-")
    with pytest.raises(RenderingFailed, match=r"template\.html, line 1: 'nothing' is undefined"):
        await renderer.render(NOTE, replace(PRESENTATION, template="{{ nothing }}"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert await renderer.render(NOTE, PRESENTATION) == content("pick-up")
    assert workers() == [pid]
    environment = environment_of(pid)
    assert set(environment) == {
        *("PATH", "LANG", "TMPDIR", "FONTCONFIG_FILE", "SOURCE_DATE_EPOCH", "PYTHONPATH", "PYTHONSAFEPATH")
    }
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
    assert entries(environment["TMPDIR"]) >= {"fonts.conf"}
    await renderer.close()
    await renderer.close()
    assert not runs(pid)
    assert entries(environment["TMPDIR"]) == set()


async def test_a_fault_is_logged(renderer: Renderer, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RenderingFailed, match="could not be rendered; the server's log says why") as raised:
        await renderer.render(replace(NOTE, locale="rm"), SMALL)
    assert "KeyError: 'rm'" in caplog.text
    assert "Traceback" not in raised.value.message
    pid = workers()
    assert (await renderer.render(NOTE, SMALL)).startswith(b"%PDF-")
    assert workers() == pid


@pytest.mark.slow
async def test_a_process_that_dies_is_replaced(renderer: Renderer) -> None:
    await renderer.require()
    (first,) = workers()
    os.kill(first, signal.SIGKILL)  # while it has nothing to do
    assert (await renderer.render(NOTE, SMALL)).startswith(b"%PDF-")
    (second,) = workers()
    with pytest.raises(RenderingFailed, match="has ended: it may have needed more memory"):
        await renderer.render(NOTE, HOG)
    assert workers() == []
    assert (await renderer.render(NOTE, SMALL)).startswith(b"%PDF-")
    (third,) = workers()
    assert len({first, second, third}) == 3
    job = asyncio.create_task(renderer.render(NOTE, ENDLESS))
    await at_work(third)
    os.kill(third, signal.SIGKILL)
    with pytest.raises(RenderingFailed, match="has ended"):
        await job


@pytest.mark.slow
async def test_limits() -> None:
    """One job that never ends, one that waits for it, and one that finds too many waiting."""
    renderer = Renderer(processes=1, seconds=2, waiting=1)
    try:
        await renderer.require()
        (pid,) = workers()
        endless = asyncio.create_task(renderer.render(NOTE, ENDLESS))
        patient = asyncio.create_task(renderer.render(NOTE, SMALL))
        await asyncio.sleep(0)
        with pytest.raises(RenderingBusy, match="1 documents wait to be rendered already"):
            await renderer.render(NOTE, SMALL)
        with pytest.raises(RenderingFailed, match="It took longer than 2 seconds to render this"):
            await endless
        assert (await patient).startswith(b"%PDF-")
        assert not runs(pid)
        assert len(workers()) == 1
    finally:
        await renderer.close()


@pytest.mark.slow
async def test_several_processes_are_started_only_when_they_are_needed() -> None:
    renderer = Renderer(processes=2)
    try:
        await renderer.render(NOTE, SMALL)
        await renderer.render(NOTE, SMALL)
        assert len(workers()) == 1
        files = await asyncio.gather(*(renderer.render(replace(NOTE, number=f"LS-{n}"), SMALL) for n in range(6)))
        assert len(workers()) == 2
        assert [f"LS-{n}".encode() in file for n, file in enumerate(files)] == [True] * 6  # it is the identifier
    finally:
        await renderer.close()


@pytest.mark.slow
async def test_callers_that_go_away(renderer: Renderer, content: Callable[[str], bytes]) -> None:
    await renderer.require()
    pid = workers()
    for seconds in (None, 0.0, 0.02, 0.1):  # before it begins, and somewhere in the midst of it
        job = asyncio.create_task(renderer.render(NOTES["long"], PRESENTATION))
        await asyncio.sleep(0)
        if seconds is not None:
            await asyncio.wait((job,), timeout=seconds)
        job.cancel()
        await asyncio.wait((job,))
        assert job.cancelled()
    assert await renderer.render(NOTE, PRESENTATION) == content("pick-up")
    assert workers() == pid


async def test_closing_ends_what_is_under_way() -> None:
    renderer = Renderer(processes=1)
    starting = asyncio.create_task(renderer.render(NOTE, SMALL))
    waiting = asyncio.create_task(renderer.render(NOTE, SMALL))
    await until(workers)
    await renderer.close()
    for job in (starting, waiting):
        with pytest.raises(RenderingBusy, match="The server is stopping"):
            await job
    assert workers() == []


async def test_processes_retire(monkeypatch: pytest.MonkeyPatch, renderer: Renderer) -> None:
    monkeypatch.setattr(pool, "MOST_JOBS", 1)
    await renderer.require()
    assert workers() == []


@pytest.mark.slow
def test_each_event_loop_has_processes_of_its_own() -> None:
    renderer = Renderer(processes=1)

    async def render() -> bytes:
        file = await renderer.render(NOTE, SMALL)
        await renderer.close()
        return file

    assert asyncio.run(render()) == asyncio.run(render())
    assert workers() == []


PARENT = f"""
import asyncio
from effects.delivery_notes.presentation import Presentation
from effects.delivery_notes.renderer import Renderer
from tests.missing import PROC
from tests.effects.notes import NOTES, PRESENTATION

async def main():
    renderer = Renderer()
    await asyncio.gather(renderer.require(), renderer.require())  # two processes, of one folder
    print("ready", flush=True)
    await renderer.render(NOTES["pick-up"], Presentation(PRESENTATION.texts, {LOOP!r}))

asyncio.run(main())
"""


@pytest.mark.slow
async def test_no_process_outlives_the_server() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"ready\n"
    one, other = workers(parent.pid)
    folder = environment_of(one)["TMPDIR"]
    start = busy(one) + busy(other)
    await until(lambda: busy(one) + busy(other) >= start + 5)
    parent.kill()
    await parent.wait()
    await until(lambda: not (runs(one) or runs(other)))
    assert entries(folder) == set()


MISSING = (
    "Delivery notes need Pango, which is missing here: install it with apt-get install libpango-1.0-0"
    " libpangoft2-1.0-0 libharfbuzz-subset0 (Debian, Ubuntu) or brew install pango (macOS)."
)


@pytest.mark.slow
async def test_pango_is_missing_and_then_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renderer: Renderer, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "weasyprint.py").write_text("raise OSError('cannot load library libpango-1.0.so.0')", encoding="utf-8")
    python = tmp_path / "python"
    folder, real = shlex.quote(str(tmp_path)), shlex.quote(sys.executable)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder}:"$PYTHONPATH" exec {real} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(python))
        for _ in range(2):
            with pytest.raises(RenderingUnavailable) as raised:
                await renderer.require()
            assert raised.value.message == MISSING
        with pytest.raises(RenderingUnavailable):
            await renderer.render(NOTE, SMALL)
    assert "cannot load library libpango-1.0.so.0" in caplog.text
    assert workers() == []
    await renderer.require()


LIMITED = """
import asyncio, sys
from effects.delivery_notes.errors import RenderingUnavailable
from effects.delivery_notes.renderer import Renderer
from tests.missing import PROC
from tests.effects.notes import NOTES, PRESENTATION
from tests.effects.test_renderer import workers
from pathlib import Path

async def main():
    renderer = Renderer(processes=1)
    try:
        assert (await renderer.render(NOTES["pick-up"], PRESENTATION)).startswith(b"%PDF-")
        [line] = [each for each in Path(f"/proc/{workers()[0]}/limits").open() if "address space" in each]
        print(*line.split()[3:5])
    except RenderingUnavailable as refusal:
        print(refusal.message)
    await renderer.close()

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("ulimit -v 600000", "614400000 614400000"),
        ("ulimit -S -v 600000", "614400000 614400000"),
        ("ulimit -v 2000000", f"{2**30} {2**30}"),
        (
            "ulimit -v 390000",
            "Delivery notes need 384 MiB of address space for each process, and 380 MiB are allowed: raise the limit"
            " (ulimit -v, or LimitAS= in systemd).",
        ),
    ],
)
async def test_a_limit_of_memory_that_is_there_already(limits: str, said: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'{limits}; exec "$0" -c "$1"', sys.executable, LIMITED),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    out, _ = await process.communicate()
    assert out.decode() == f"{said}\n"


async def test_a_process_that_is_told_to_end_before_it_is_ready() -> None:
    """As systemd does when a service ends, with all of its processes at once."""
    renderer = Renderer(processes=1)
    job = asyncio.create_task(renderer.render(NOTE, SMALL))
    await until(workers)
    [starting] = workers()
    assert os.getsid(starting) != os.getsid(0), "Ctrl-C in a terminal would reach it, too"
    os.kill(starting, signal.SIGHUP)
    with pytest.raises(RenderingBusy, match="The server is stopping"):
        await job
    await renderer.close()
