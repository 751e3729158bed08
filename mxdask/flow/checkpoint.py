"""Results of single tasks kept in the run directory, so that a rerun does only what is missing or changed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask.base import tokenize

from mxdask.flow.failed import Failed
from mxdask.flow.fingerprint import code_fingerprint
from mxdask.io.atomic import replacing


@dataclass(frozen=True)
class Checkpointed:
    """A task function whose result is looked up by the content of its arguments before it is computed.

    The file's name is the hash of function, program and arguments; it appears whole or not at all, so two
    workers doing the same task (after one was thought dead) do no harm. Failures are not kept.
    """

    function: Callable[..., Any]
    folder: str
    key: str

    @classmethod
    def of(cls, function: Callable[..., Any], folder: Path, args: tuple[Any, ...]) -> Checkpointed:
        inner = getattr(function, "function", function)
        name = f"{inner.__module__}.{inner.__qualname__}"
        return cls(function, str(folder), tokenize(name, code_fingerprint(), args))

    def __call__(self, *args: Any) -> Any:
        path = Path(self.folder) / f"{self.key}.pkl"
        try:
            with open(path, "rb") as file:
                return pickle.load(file)
        except FileNotFoundError:
            pass
        except Exception:  # noqa: BLE001  whatever a damaged or foreign file makes pickle raise: compute again
            path.unlink(missing_ok=True)
        result = self.function(*args)
        if not isinstance(result, Failed):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, open(temporary, "wb") as file:
                pickle.dump(result, file, protocol=5)  # not dumps: large arrays are written without a copy
        return result
