"""Memory of worker threads given back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc).

    glibc keeps an arena per thread. What tasks allocated there stays in it after it was freed, out of reach of the
    main thread, which then grows by as much again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
