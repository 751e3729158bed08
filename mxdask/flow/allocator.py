"""Memory that was freed, handed back to the system."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Hand back what the C library keeps of freed memory for each thread; costs about a millisecond.

    glibc keeps arrays of up to 32 MB that were freed, in pieces that other threads cannot use. Called where a task has
    just dropped large arrays. Other C libraries keep less and are left alone.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.cache
def _trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim(size_t pad)``; None where there is none."""
    try:
        function = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    function.argtypes, function.restype = [ctypes.c_size_t], ctypes.c_int
    return function
