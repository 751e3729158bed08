"""What a task leaves when it could not do its crystal."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mxdask.errors import FileError, MxdaskError


@dataclass(frozen=True)
class Failed:
    """Stands in place of a result: one crystal's trouble is a row in a table, not the end of the run.

    Attributes
    ----------
    reason : one line for people.
    detail : the traceback when the cause is a defect of ours, else "".
    bad_input : the cause is a file that is missing or damaged; steps hand it on as ``row["bad_input"]``, and the
        command ends with exit code 1 once the other crystals are done.
    """

    reason: str
    detail: str = ""
    bad_input: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        if isinstance(error, MxdaskError):
            return cls(str(error), bad_input=isinstance(error, FileError))
        return cls(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Guarded:
    """A function that returns :class:`Failed` instead of raising; given a Failed argument it hands that on."""

    function: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, Failed):
                return value
        try:
            return self.function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  the boundary where a task's error becomes data
            return Failed.of(error)
