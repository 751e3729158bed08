"""Large arguments of tasks as files of the run directory: pixels and tables do not travel through a scheduler."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask.delayed import Delayed

from mxdask.io.atomic import replacing

# Arguments above this size (bytes, pickled) are handed over as files; smaller ones are quicker inside the graph.
LARGE = 64 * 1024


@dataclass(frozen=True)
class Stored:
    """Stands for an object that lies pickled in a file, named by its content."""

    path: str

    def load(self) -> Any:
        return pickle.loads(Path(self.path).read_bytes())


@dataclass(frozen=True)
class Bound:
    """A task function with all its arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...]

    def __call__(self) -> Any:
        return self.function(*self.args)


@dataclass(frozen=True)
class WithStored:
    """A task function that takes :class:`Stored` arguments out of their files first."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        return self.function(*(a.load() if isinstance(a, Stored) else a for a in args))


def store_large(args: tuple[Any, ...], folder: Path) -> tuple[Any, ...]:
    """The arguments with large values replaced by :class:`Stored`; results of other tasks are left alone."""
    return tuple(a if holds_nodes(a) else _store(a, folder) for a in args)


def holds_nodes(value: Any) -> bool:
    """Whether an argument of a task is a node of the graph, or a list or dict with some."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, Delayed) or any(holds_nodes(v) for v in inside)


def _store(value: Any, folder: Path) -> Any:
    content = pickle.dumps(value, protocol=5)
    if len(content) <= LARGE:
        return value
    path = folder / f"{hashlib.sha256(content).hexdigest()[:32]}.pkl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return Stored(str(path))
