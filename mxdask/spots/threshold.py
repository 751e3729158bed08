"""Strong pixels of one frame: the thresholds of front.md 6.1 behind one interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.spots import extended_kernels, threshold_kernels
from mxdask.spots.params import Dispersion
from mxdask.spots.threshold_kernels import LIMIT_SCALE, Rule, Scratch, Tables


@dataclass(frozen=True)
class StrongPixels:
    """Strong pixels of one panel of one frame.

    Attributes
    ----------
    index : (n,) i8 ascending, slow·width + fast.
    value : (n,) i8 raw counts.
    n_background, background_sum : number and sum (raw counts) of the usable pixels that are not strong.
    n_overloaded : usable pixels above the trusted range.
    """

    index: np.ndarray
    value: np.ndarray
    n_background: int
    background_sum: int
    n_overloaded: int
