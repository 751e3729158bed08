"""One place for numba's compile flags: release the GIL, cache on disk, never start threads of its own."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numba


def jit(function: Any = None, **options: Any) -> Any:
    """``numba.njit`` with mxdask's flags, as ``@jit`` or ``@jit(option=…)``.

    Kernels take and give arrays only; parallelism is Dask's.
    """
    settings = {"nogil": True, "cache": True, "fastmath": False, "error_model": "numpy"} | options
    if settings.get("parallel"):
        raise ValueError("kernels never use parallel=True: numba's threading layer aborts under Dask's threads")

    def compiled(function: Any) -> Any:
        try:
            return numba.njit(**settings)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        _tell_once()
        return numba.njit(**(settings | {"cache": False}))(function)

    return compiled if function is None else compiled(function)


@cache
def _tell_once() -> None:
    """Neither beside the program nor in the user's cache folder can files be written."""
    logging.getLogger("mxdask").warning(
        "no folder can be written to keep the compiled inner loops: every start compiles them anew, about a minute; "
        "set NUMBA_CACHE_DIR to a folder that can"
    )
