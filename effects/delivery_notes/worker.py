"""The worker process: renders what it is asked to on stdin, and answers on stdout, until stdin ends.

It is started by `Process`. Nothing but answers goes to stdout, whatever a library may print.
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
from effects.delivery_notes.messages import Message, packed, read
from effects.delivery_notes.presentation import Presentation

NICENESS: Final = 10  # the server comes first
LATER_SECONDS: Final = 5.0  # than the server ends a job that takes too long, this process ends itself

_OUT_OF_MEMORY: Final = 3  # the exit code


def main() -> None:
    answers = _own_stdout()
    _be_modest()
    requests: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, requests), daemon=True).start()
    try:
        from effects.delivery_notes.rendering import warm_up

        warm_up()
    except OSError as error:  # what WeasyPrint raises where a library of the system's is missing
        _send(answers, {"kind": "unavailable", "reason": str(error)})
        return
    _look_for_garbage_less()
    _send(answers, {"kind": "ready"})
    while True:
        request = requests.get()
        _send(answers, {"kind": "begun"})
        _limit(request.data["seconds"] + LATER_SECONDS)
        _send(answers, *_answer(request))
        _limit(0)


def _own_stdout() -> BinaryIO:
    """What stdout was. From now on stdout is stderr, also for what is written in C."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _be_modest() -> None:
    """Leaves the server the processor, the memory, and the signals that are meant for the whole process group."""
    os.nice(NICENESS)
    apply_limit()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _look_for_garbage_less() -> None:
    """What is there by now stays: looking through it again and again makes every sixth note take half as long again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def _receive(requests: BinaryIO, queue: "SimpleQueue[Message]") -> None:
    """Ends the process with its stdin, so that it does not outlive the server, however that ends."""
    folder = Path.cwd()  # which another process may remove first
    with contextlib.suppress(EOFError):
        while True:
            queue.put(read(requests))
    if folder.name.startswith(FOLDER_PREFIX):  # the server would have removed it
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _limit(seconds: float) -> None:
    """Has the system end this process after so long, 0 for never.

    The server does that itself, `LATER_SECONDS` earlier, and says why. It does not where it is gone, while a template
    that never comes to an end would hold up the thread that should notice.
    """
    signal.alarm(math.ceil(seconds))


def _send(answers: BinaryIO, data: dict[str, Any], *files: bytes) -> None:
    answers.write(packed(data, files))
    answers.flush()


def _answer(request: Message) -> tuple[Any, ...]:
    try:
        return {"kind": "done"}, _do(request)
    except RenderingFailed as refusal:
        return ({"kind": "refused", "message": refusal.message},)
    except MemoryError:  # nothing can be relied on after it
        os._exit(_OUT_OF_MEMORY)
    except Exception:
        return ({"kind": "fault", "trace": traceback.format_exc()},)


def _do(request: Message) -> bytes:
    from effects.delivery_notes.merging import merge
    from effects.delivery_notes.rendering import render

    match request.data["do"]:
        case "render":
            return render(
                NoteContent.from_data(request.data["document"]), Presentation.from_data(request.data["presentation"])
            )
        case "merge":
            return merge(request.files, request.data["title"])
    return b""


if __name__ == "__main__":
    main()
