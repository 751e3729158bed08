"""A stack as a lazy Dask array, for looking at images and for notebooks. The steps read frames themselves."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np

from mxdask.images.stack import ImageStack


def to_dask(stack: ImageStack, block: int, panel: int) -> da.Array:
    """(frame, slow, fast) raw pixels of one panel, ``block`` frames per chunk; chunk k starts at frame z0 + k·block."""
    counts = tuple(min(block, stack.n_images - start) for start in range(0, stack.n_images, block))
    slow, fast = stack.shapes[panel]
    return da.map_blocks(
        _load, stack=stack, panel=panel, chunks=(counts, (slow,), (fast,)), dtype=stack.dtype,
        meta=np.empty((0, 0, 0), dtype=stack.dtype),
    )  # fmt: skip


def _load(stack: ImageStack, panel: int, block_info: dict[Any, Any]) -> np.ndarray:
    where = block_info[None]
    first, end = where["array-location"][0]
    out = np.empty(where["chunk-shape"], dtype=where["dtype"])
    with stack.reader() as reader:
        for row, z in enumerate(range(stack.array_range[0] + first, stack.array_range[0] + end)):
            out[row] = reader.read(z)[panel]
    return out
