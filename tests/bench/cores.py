"""One core for the server that is measured, the others for everything else; and what the server has used."""

import os
from pathlib import Path

_TICKS: int = os.sysconf("SC_CLK_TCK")
_PAGE_KIB: int = os.sysconf("SC_PAGE_SIZE") // 1024


def take_cores() -> set[int]:
    """The core of the servers. This process, and all that it starts without a word, keeps off it from now on.

    Raises `RuntimeError` where that cannot be.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise RuntimeError("this needs Linux: elsewhere no process can be kept to one core")
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise RuntimeError("this needs two cores: one for the server, one for its clients")
    os.sched_setaffinity(0, others)
    return {first}


def cpu_seconds(pid: int) -> float:
    """What all threads of the process have used, for itself and in the kernel (proc_pid_stat(5): utime, stime)."""
    return sum(map(int, _stat(pid)[11:13])) / _TICKS


def resident_kib(pid: int) -> int:
    """Its memory that is not swapped out (proc_pid_stat(5): rss)."""
    return int(_stat(pid)[21]) * _PAGE_KIB


def _stat(pid: int) -> list[str]:
    """The fields from the third on: the second is the name, which may have blanks."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
