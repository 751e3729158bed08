"""CPU, wall time and memory of a command with all its children, sampled while it runs (Linux)."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL = 0.05  # seconds between samples


@dataclass(frozen=True)
class Usage:
    """Of one command: seconds, and MB at the highest sample.

    Attributes
    ----------
    pss : proportional set sizes summed over the processes; less where other programs map the same libraries.
    alone : what pss would be if nothing else ran: anonymous pages as in pss, pages of each file counted once.
    largest : resident set of the largest process.
    """

    wall: float
    cpu: float
    pss: float
    alone: float
    largest: float


def watch(command: list[str], folder: Path, environment: dict[str, str]) -> Usage:
    """Run a command and sample the memory of its processes; ends the program with its output when it fails."""
    before, start = _cpu(), time.perf_counter()
    pss = alone = largest = 0.0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        root = psutil.Process(process.pid)
        while process.poll() is None:
            sizes = [_sizes(pid) for pid in _pids(root)]
            files: dict[str, int] = {}
            for size in sizes:
                for name, resident in size.files.items():
                    files[name] = max(files.get(name, 0), resident)
            pss = max(pss, sum(s.pss for s in sizes) / 1024)
            alone = max(alone, (sum(s.anonymous for s in sizes) + sum(files.values())) / 1024)
            largest = max([largest, *(s.resident / 1024 for s in sizes)])
            time.sleep(INTERVAL)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command[:4])}\n{output.read()[-2000:]}")
    return Usage(time.perf_counter() - start, _cpu() - before, pss, alone, largest)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pids(root: psutil.Process) -> Iterator[int]:
    try:
        yield root.pid
        yield from (child.pid for child in root.children(recursive=True))
    except psutil.Error:
        return


@dataclass
class _Sizes:
    """kB of one process; ``files``: resident pages that are still the file's."""

    pss: int
    anonymous: int
    resident: int
    files: dict[str, int]


def _sizes(pid: int) -> _Sizes:
    """From /proc/PID/smaps; nothing of a process that has just ended."""
    found = _Sizes(0, 0, 0, {})
    try:
        text = Path(f"/proc/{pid}/smaps").read_text(errors="replace")
    except OSError:
        return found
    name, resident = "", 0
    for line in text.splitlines():
        key, *rest = line.split(maxsplit=5)
        if not key.endswith(":"):
            name = rest[4] if len(rest) > 4 else ""
        elif key == "Rss:":
            resident = int(rest[0])
            found.resident += resident
        elif key == "Pss:":
            pss = int(rest[0])
            found.pss += pss
        elif key == "Anonymous:":
            anonymous = int(rest[0])
            if name.startswith("/"):
                found.files[name] = found.files.get(name, 0) + resident - anonymous
                # copied pages are shared with relatives at most: what is proportional is theirs
                found.anonymous += min(anonymous, pss)
            else:
                found.anonymous += pss
    return found
