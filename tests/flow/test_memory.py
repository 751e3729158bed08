"""Memory that tasks in threads allocated goes back to the system when it is no longer used."""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mxdask.flow.memory import give_back


def in_use() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_what_threads_freed_goes_back() -> None:
    with ThreadPoolExecutor(2) as pool:
        arrays = list(pool.map(lambda _: np.ones(12_000), range(2000)))  # 192 MB in pieces of a crystal's size
        filled = in_use()
        del arrays
        give_back()
        assert filled - in_use() > 100e6
