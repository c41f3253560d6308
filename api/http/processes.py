"""Server processes: one that ends in time whatever happens, or several that are supervised.

uvicorn's supervisor waits for ever for a worker that does not end, ignores signals while it waits, and takes a worker
for alive whose event loop stands still. So we have our own: docs/decisions/0007-processes.md.
"""

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

import uvicorn

log = logging.getLogger("uvicorn.error")  # where uvicorn tells of its own processes

# A server that has to stop has this long: uvicorn waits until SHUTDOWN_SECONDS for what is open, the rest is for
# the application to let go of its database. A process that is still there then is ended by force.
SHUTDOWN_SECONDS = 6
EXIT_SECONDS = 7.5
KILL_SECONDS = 8.0

START_SECONDS = 60.0  # for a new worker to serve
AGAIN_SECONDS = 1.0  # at least between one start of a worker and the next
HUNG_SECONDS = 10.0  # without a sign of life of a worker that serves
_TICK_SECONDS = 0.1
_TICKS_A_SECOND = 10  # of uvicorn's server

_NEW_OBJECTS = 20_000  # after which garbage is looked for among them; a list of orders makes a thousand

_multiprocessing = multiprocessing.get_context("spawn")

Check = Callable[[], str | None]  # what is wrong, in a sentence


class Server(uvicorn.Server):
    """uvicorn's server. `beat` is called about ten times a second while it serves."""

    def __init__(self, config: uvicorn.Config, beat: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._beat = beat
        self._parent = multiprocessing.parent_process()
        self._files_are_missing = False
        self._is_signalled = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Freeze what is loaded, and run the garbage collector less often: docs/decisions/0008-garbage-collector.md."""
        try:
            await super().startup(sockets)
        except OSError as error:  # another server listens there, which it did not when the port was bound
            log.error("Port %d cannot be had (%s).", self.config.port, error.strerror)
            await self.lifespan.shutdown()
            sys.exit(1)
        if self._parent is None:
            _say_where(self.config)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS, 20, 20)

    async def on_tick(self, counter: int) -> bool:
        self._beat()
        if counter % _TICKS_A_SECOND == 0:
            self._look_for_files()
        orphaned = self._parent is not None and not self._parent.is_alive()
        return await super().on_tick(counter) or orphaned

    def _look_for_files(self) -> None:
        """Log when the process can open no more files, and when it can again.

        Otherwise nobody would know: the event loop accepts and closes the connections that come meanwhile.
        """
        try:
            os.close(os.dup(2))
            missing = False
        except OSError as error:
            missing = True
            if not self._files_are_missing:
                log.error("No file can be opened, and so no connection accepted (%s): see `ulimit -n`.", error.strerror)
        if self._files_are_missing and not missing:
            log.warning("Files can be opened again.")
        self._files_are_missing = missing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle the signal at once: the event loop may hear of it late, or never."""
        if not self._is_signalled:
            self._is_signalled = True
            _exit_in_any_case()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state["stopping"].set()
        await super().shutdown(sockets)


def _say_where(config: uvicorn.Config) -> None:
    """Log the address, as uvicorn does if it has opened the socket."""
    host = f"[{config.host}]" if ":" in config.host else config.host or "0.0.0.0"  # noqa: S104 - it is said, not done
    log.info("Uvicorn running on http://%s:%d (Press CTRL+C to quit)", host, config.port)


def _exit_in_any_case() -> None:
    """End this process after `EXIT_SECONDS`. What it waits for, such as a database that does not answer, may never
    come.

    No answered request is lost by it, because its changes are committed.
    """

    def leave() -> None:
        log.error("The server did not end in %s seconds: exiting.", EXIT_SECONDS)
        os._exit(1)

    timer = threading.Timer(EXIT_SECONDS, leave)
    timer.daemon = True
    timer.start()


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    last_beat: Any  # a double that both processes see: `time.monotonic()` of the last sign of life, 0 before the first
    since: float  # when it was started or, once it has been told so, was to end

    @property
    def runs(self) -> bool:
        return self.process.is_alive()

    @property
    def serves(self) -> bool:
        return self.runs and self.last_beat.value > 0

    @property
    def hangs(self) -> bool:
        limit, last = (HUNG_SECONDS, self.last_beat.value) if self.last_beat.value else (START_SECONDS, self.since)
        return self.runs and time.monotonic() - last > limit

    def stop(self) -> None:
        self.since = time.monotonic()
        self.process.terminate()

    @property
    def is_overdue(self) -> bool:
        """Whether it was told to stop, and should long have ended."""
        return self.runs and time.monotonic() - self.since > KILL_SECONDS


def _serve(options: dict[str, Any], check: Check, sockets: list[socket.socket], last_beat: Any) -> None:
    """Run a worker."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which a terminal that is closed sends to all of its processes

    def beat() -> None:
        last_beat.value = time.monotonic()

    config = uvicorn.Config(**options)  # sets up the log
    if problem := check():
        log.error("%s", problem)
        sys.exit(1)
    with contextlib.suppress(KeyboardInterrupt):  # by which uvicorn passes Ctrl-C on once it has stopped
        Server(config, beat).run(sockets)


class Supervisor:
    """Keeps `count` workers serving on the same sockets.

    A worker that dies, or gives no sign of life, is replaced. On SIGHUP all are replaced in turn, each when its
    successor serves: the sockets are never closed, so no connection is refused. On SIGTERM and SIGINT all end, and
    `run` returns. `options` are those of `uvicorn.Config`. Each worker calls `check` before it serves, and does not
    start if that returns a sentence.

    A single worker is this process itself, because a second process costs memory. It gets a process of its own when it
    is replaced.
    """

    def __init__(self, options: dict[str, Any], count: int, sockets: list[socket.socket], check: Check) -> None:
        self._options = options
        self._count = count
        self._sockets = sockets
        self._check = check
        self._config = uvicorn.Config(**options)
        self._workers: list[_Worker] = []
        self._leaving: list[_Worker] = []
        self._have_served = False
        self._told: set[int] = set()  # signals that have come

    def run(self) -> bool:
        """Run until a signal ends it. Return False if no worker could ever serve."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._told.add(number))
        if self._count > 1:
            _say_where(self._config)
            self._workers = [self._start() for _ in range(self._count)]
        elif not self._serve_here():
            return False
        while not self._is_to_end() and not self._cannot_start():
            self._look_after()
            if signal.SIGHUP in self._told:
                self._told.discard(signal.SIGHUP)
                self._replace_all()
        good = self._is_to_end()
        if not good:
            log.error("A worker has ended before it could serve: the server ends.")
        self._stop()
        return good

    def _serve_here(self) -> bool:
        """Serve in this process until a signal ends it, or until a worker serves that was started on SIGHUP."""
        if problem := self._check():
            log.error("%s", problem)
            return False
        server = Server(self._config, lambda: self._hand_over(server))
        server.run(sockets=[each.dup() for each in self._sockets])
        self._have_served = server.started
        return self._is_to_end() or bool(self._workers)

    def _hand_over(self, server: Server) -> None:
        """Start a worker if SIGHUP has come, and end the server once that serves. Called again and again."""
        self._reap()
        if not self._workers:
            if signal.SIGHUP in self._told:
                self._told.discard(signal.SIGHUP)
                log.info("Received SIGHUP, replacing the worker.")
                self._workers = [self._start()]
        elif self._workers[0].serves:
            server.should_exit = True
        elif not self._workers[0].runs or self._workers[0].hangs:
            self._refuse(self._workers.pop())

    def _is_to_end(self) -> bool:
        return not self._told.isdisjoint((signal.SIGTERM, signal.SIGINT))

    def _look_after(self) -> None:
        """Look after the workers for a moment. Longer work calls this again and again."""
        time.sleep(_TICK_SECONDS)
        self._replace_dead()
        self._reap()

    def _cannot_start(self) -> bool:
        """Return whether the first workers ended at once. The next ones would, too."""
        self._have_served = self._have_served or any(worker.last_beat.value for worker in self._workers)
        return not self._have_served and not all(worker.runs for worker in self._workers)

    def _start(self) -> _Worker:
        last_beat = _multiprocessing.RawValue("d", 0.0)
        arguments = (self._options, self._check, self._sockets, last_beat)
        process = _multiprocessing.Process(target=_serve, args=arguments)
        process.start()
        return _Worker(process, last_beat, time.monotonic())

    def _replace_dead(self) -> None:
        for index, worker in enumerate(self._workers):
            if worker.hangs:
                log.error("Worker [%d] gives no sign of life and is killed.", worker.process.pid)
                worker.process.kill()
            if worker.runs or self._cannot_start() or time.monotonic() - worker.since < AGAIN_SECONDS:
                continue
            log.error("Worker [%d] has died (%s) and is replaced.", worker.process.pid, worker.process.exitcode)
            self._workers[index] = self._start()

    def _replace_all(self) -> None:
        """Replace all workers. If a new one does not serve, the old ones stay."""
        log.info("Received SIGHUP, replacing the workers.")
        for index in range(self._count):
            new = self._start()
            while new.runs and not new.serves and not new.hangs and not self._is_to_end():
                self._look_after()
            if not new.serves:
                self._refuse(new)
                return
            old, self._workers[index] = self._workers[index], new
            self._dismiss(old)
            while old in self._leaving and not self._is_to_end():
                self._look_after()

    def _refuse(self, new: _Worker) -> None:
        self._dismiss(new)
        if not self._is_to_end():
            log.error("The new worker [%d] does not serve: what served before goes on.", new.process.pid)

    def _dismiss(self, worker: _Worker) -> None:
        worker.stop()
        self._leaving.append(worker)

    def _reap(self) -> None:
        """Let go of the workers that have ended as they were told, and kill those that do not end."""
        for worker in self._leaving:
            if worker.is_overdue:
                log.error("Worker [%d] did not end and is killed.", worker.process.pid)
                worker.process.kill()
        self._leaving = [worker for worker in self._leaving if worker.runs]

    def _stop(self) -> None:
        for each in self._sockets:
            each.close()
        for worker in self._workers:
            self._dismiss(worker)
        while self._leaving:
            self._reap()
            time.sleep(_TICK_SECONDS)
