"""Which sweeps are in a folder, and whether their files are complete: found by name, size and time alone."""

from __future__ import annotations

import fnmatch
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mxdask.errors import FileError, MxdaskError
from mxdask.flow.fingerprint import stat_fingerprint
from mxdask.images.frame_index import frame_index
from mxdask.importing.headers import HDF5_SUFFIXES, announced_frames, is_image_name
from mxdask.io.templates import template_of

COMPLETE, PARTIAL, GROWING, DAMAGED = "complete", "partial", "growing", "damaged"


@dataclass(frozen=True)
class Sweep:
    """One sweep in the folder.

    Attributes
    ----------
    name : unique within the folder, fit for a file name. files : to import.
    stamp : of names, sizes and times of all its files. finished : time of the last change of any of them (ns).
    state : COMPLETE; PARTIAL (will not grow any more, it seems); GROWING; DAMAGED. reason : of all but COMPLETE.
    """

    name: str
    files: tuple[str, ...]
    stamp: str
    finished: int
    state: str
    reason: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it can be processed."""
        return self.state in (COMPLETE, PARTIAL)


@dataclass
class Folder:
    """A folder that is looked at again and again.

    Attributes
    ----------
    settle, patience : s, after which files count as complete, and as abandoned. ignored : a folder not to look into.
    """

    path: Path
    patterns: tuple[str, ...] = ()
    settle: float = 2.0
    patience: float = 60.0
    ignored: Path | None = None
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)
    _judged: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    def look(self) -> list[Sweep]:
        """All sweeps, those that were finished first in front.

        Raises
        ------
        FileError : the folder itself cannot be listed.
        """
        found = []
        for name, files, others in self._groups():
            everything = [*files, *others]
            stamp = stat_fingerprint(everything)
            finished = max((_modified(f) for f in everything), default=0)
            state, reason = self._state(name, files, stamp, finished)
            found.append(Sweep(name, tuple(files), stamp, finished, state, reason))
        return sorted(found, key=lambda s: (s.finished, s.name))

    def _state(self, name: str, files: Sequence[str], stamp: str, finished: int) -> tuple[str, str]:
        """Complete, growing or damaged; the files are opened again only after they changed."""
        known = self._judged.get(name)
        if known is None or known[0] != stamp:
            self._judged[name] = known = (stamp, *_contents(files))
        _, state, reason = known
        quiet = self._quiet(name, stamp, finished)
        if state == COMPLETE:
            return (COMPLETE, "") if quiet >= self.settle else (GROWING, "its files are still changing")
        if state == GROWING and quiet >= self.patience:
            return PARTIAL, reason
        return state, reason

    def _quiet(self, name: str, stamp: str, finished: int) -> float:
        """Seconds since the last change, by the files' own times or as seen from here (clocks may disagree)."""
        seen = self._seen.get(name)
        if seen is None or seen[0] != stamp:
            self._seen[name] = seen = (stamp, time.monotonic())
        return max(time.time() - finished / 1e9, time.monotonic() - seen[1])

    def _groups(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """Name, files to import and files beside them, of every sweep."""
        for folder, names in self._walk():
            used: set[str] = set()
            for key, members in _by_sweep([n for n in names if self._is_wanted(n)]).items():
                files = [os.path.join(folder, n) for n in members]
                beside = [os.path.join(folder, n) for n in names if n not in members and _belongs(n, members[0])]
                yield self._name(folder, key, used), files, beside

    def _walk(self) -> Iterator[tuple[str, list[str]]]:
        def complain(error: OSError) -> None:
            if Path(error.filename or "") == self.path:
                raise FileError(f"{self.path}: cannot be listed ({error.strerror})") from error

        for folder, folders, names in os.walk(self.path, onerror=complain):
            stores = [d for d in folders if d.endswith(".zarr")]
            folders[:] = sorted(
                d for d in folders if not d.startswith(".") and d not in stores and self._enters(folder, d)
            )
            yield folder, sorted([*names, *stores])

    def _enters(self, folder: str, name: str) -> bool:
        return self.ignored is None or Path(folder, name).resolve() != self.ignored.resolve()

    def _is_wanted(self, name: str) -> bool:
        if name.startswith("."):
            return False
        if self.patterns:
            return any(fnmatch.fnmatch(name, p) for p in self.patterns)
        return is_image_name(name)

    def _name(self, folder: str, key: str, used: set[str]) -> str:
        where = os.path.relpath(folder, self.path)
        whole = key if where == "." else f"{where}/{key}"
        name = re.sub(r"[^A-Za-z0-9_.+-]+", "_", whole).strip("_.") or "sweep"
        while name in used:
            name += "_"
        used.add(name)
        return name


def _by_sweep(names: Sequence[str]) -> dict[str, list[str]]:
    """Short name → files: a container is a sweep, images of one template are one."""
    groups: dict[str, list[str]] = {}
    for name in names:
        if name.lower().endswith((*HDF5_SUFFIXES, ".zarr")):
            groups[_stem(name)] = [name]
            continue
        template = template_of(name)
        key = name if template is None else template[0]
        groups.setdefault(re.split(r"[_.-]*#", key)[0] or key, []).append(name)
    return groups


def _stem(name: str) -> str:
    base = name.rsplit(".", 1)[0]
    return base.removesuffix("_master") or base


def _belongs(name: str, master: str) -> bool:
    """Whether a file is part of what a master file describes, by its name."""
    stem = _stem(master)
    return name.startswith((f"{stem}_", f"{stem}.")) and master.lower().endswith(HDF5_SUFFIXES)


def _contents(files: Sequence[str]) -> tuple[str, str]:
    """State and reason by what the files hold. Files of one image each do not tell how many there will be."""
    first = files[0]
    try:
        for name in files:
            if os.path.isfile(name) and os.path.getsize(name) == 0:
                return DAMAGED, f"{name}: empty file"
        if not first.lower().endswith(HDF5_SUFFIXES):
            return COMPLETE, ""
        index = frame_index(first)
        announced = max(len(index), announced_frames(first) or 0)
        if index.shortfall or index.n_written < announced:
            more = f": {index.shortfall}" if index.shortfall else ""
            return GROWING, f"{index.n_written} of {announced} images are written{more}"
        return COMPLETE, ""
    except MxdaskError as error:
        return DAMAGED, str(error)
    except OSError as error:
        return DAMAGED, f"{error.filename or first}: {error.strerror or error}"


def _modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
