"""One place for numba's compile flags: release the GIL, cache on disk, never start threads of its own."""

from __future__ import annotations

from typing import Any

import numba


def jit(*signatures: Any, **options: Any) -> Any:
    """``numba.njit`` with mxdask's flags. Kernels take and give arrays only; parallelism is Dask's."""
    settings = {"nogil": True, "cache": True, "fastmath": False, "error_model": "numpy"} | options
    if settings.get("parallel"):
        raise ValueError("kernels never use parallel=True: numba's threading layer aborts under Dask's threads")
    return numba.njit(*signatures, **settings)
