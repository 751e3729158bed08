"""Arrays that models hold: their own, and not to be changed."""

from __future__ import annotations

from typing import Any

import numpy as np


def frozen(values: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A read-only float64 copy, in another shape if one is given."""
    array = np.array(values, dtype=np.float64)
    if shape is not None:
        array = array.reshape(shape)
    array.setflags(write=False)
    return array
