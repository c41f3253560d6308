"""The worker process: it reads requests from stdin and writes answers to stdout, until stdin ends.

It is started by `Process`. Only answers go to stdout, even if a library prints something.
"""

import contextlib
import gc
import math
import os
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, Final

from domain.delivery_notes.content import NoteContent
from effects.delivery_notes.errors import RenderingFailed
from effects.delivery_notes.fonts import FOLDER_PREFIX
from effects.delivery_notes.memory import apply_limit
from effects.delivery_notes.messages import Message, pack, read
from effects.delivery_notes.presentation import Presentation

NICENESS: Final = 10  # the server comes first
LATER_SECONDS: Final = 5.0  # later than the server, this process ends a job that takes too long

_OUT_OF_MEMORY: Final = 3  # the exit code


def main() -> None:
    answers = _redirect_stdout()
    _lower_priority()
    requests: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, requests), daemon=True).start()
    try:
        from effects.delivery_notes.rendering import warm_up

        warm_up()
    except OSError as error:  # what WeasyPrint raises if a library of the system is missing
        _send(answers, {"kind": "unavailable", "reason": str(error)})
        return
    _collect_garbage_rarely()
    _send(answers, {"kind": "ready"})
    while True:
        request = requests.get()
        _send(answers, {"kind": "begun"})
        _limit(request.data["seconds"] + LATER_SECONDS)
        _send(answers, *_answer(request))
        _limit(0)


def _redirect_stdout() -> BinaryIO:
    """Return stdout, and let everything else that is written to it go to stderr, also from C code."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _lower_priority() -> None:
    """Give the server priority, limit the memory, and ignore signals that are meant for the whole process group."""
    os.nice(NICENESS)
    apply_limit()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _collect_garbage_rarely() -> None:
    """Exclude what is loaded by now from garbage collection, which is slow otherwise (decision 0009)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _receive(requests: BinaryIO, queue: "SimpleQueue[Message]") -> None:
    """Read requests. End the process at the end of stdin, so that it does not outlive the server."""
    folder = Path.cwd()  # another process may remove it first
    with contextlib.suppress(EOFError):
        while True:
            queue.put(read(requests))
    if folder.name.startswith(FOLDER_PREFIX):  # which the server could not do
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _limit(seconds: float) -> None:
    """Let the system kill this process after so many seconds, 0 for never.

    Usually the server does that, `LATER_SECONDS` earlier, and says why. If the server is gone, a template that never
    ends would block the thread that should notice.
    """
    signal.alarm(math.ceil(seconds))


def _send(answers: BinaryIO, data: dict[str, Any], *files: bytes) -> None:
    answers.write(pack(data, files))
    answers.flush()


def _answer(request: Message) -> tuple[Any, ...]:
    try:
        return {"kind": "done"}, _do(request)
    except RenderingFailed as refusal:
        return ({"kind": "refused", "message": refusal.message},)
    except MemoryError:  # the process is in an unknown state
        os._exit(_OUT_OF_MEMORY)
    except Exception:
        return ({"kind": "fault", "trace": traceback.format_exc()},)


def _do(request: Message) -> bytes:
    from effects.delivery_notes.merging import merge
    from effects.delivery_notes.rendering import render

    match request.data["do"]:
        case "render":
            return render(
                NoteContent.from_data(request.data["content"]), Presentation.from_data(request.data["presentation"])
            )
        case "merge":
            return merge(request.files, request.data["title"])
    return b""


if __name__ == "__main__":
    main()
