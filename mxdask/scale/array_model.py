"""The array model: scale factors on grids of resolution, rotation and place on the detector (back.md 13.1).

g = D(1/d², φ) · A(x, y, φ), both smooth functions of the values at the points of a grid: the smoother of each axis
(back.md 13.2) gives the weights of three neighbours, and a point of the grid has the product of its axes' weights. The
first axis runs fastest among the parameters. D is free, A is held near one, so that a common factor belongs to D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.scale.smoother import Smoother

# Keeps the outermost observations inside: of 1/d² (Å⁻²) and of pixels.
_S_MARGIN, _PIXEL_MARGIN = 1e-6, 1e-3


@dataclass(frozen=True)
class ArrayGrid:
    """The grids of one sweep.

    Attributes
    ----------
    time, resolution : axes of D; ``s_min`` (Å⁻²) is where that of resolution starts.
    x, y : further axes of A; ``corner`` (px) is where they start. None: no A.
    """

    time: Smoother
    resolution: Smoother
    s_min: float
    x: Smoother | None = None
    y: Smoother | None = None
    corner: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, time: Smoother, n_resolution: int, n_absorption: int, d: np.ndarray, xy: np.ndarray) -> ArrayGrid:
        """Grids that span observations at resolutions d (n,) in Å and pixels xy (n, 2).

        Parameters
        ----------
        n_absorption : intervals in x and in y; 0 for no A.
        """
        s_min, s_max = 1.0 / d.max() ** 2 - _S_MARGIN, 1.0 / d.min() ** 2 + _S_MARGIN
        resolution = Smoother.spanning(s_max - s_min, n_resolution)
        if n_absorption == 0:
            return cls(time, resolution, float(s_min))
        low, high = xy.min(axis=0) - _PIXEL_MARGIN, xy.max(axis=0) + _PIXEL_MARGIN
        x, y = (Smoother.spanning(float(extent), n_absorption) for extent in high - low)
        return cls(time, resolution, float(s_min), x, y, (float(low[0]), float(low[1])))

    @property
    def decay_shape(self) -> tuple[int, ...]:
        """Points of D along resolution and rotation."""
        return self.resolution.n_parameters, self.time.n_parameters

    @property
    def absorption_shape(self) -> tuple[int, ...]:
        """Points of A along x, y and rotation; (0,) for none."""
        if self.x is None or self.y is None:
            return (0,)
        return self.x.n_parameters, self.y.n_parameters, self.time.n_parameters

    def decay_weights(self, frame: np.ndarray, d: np.ndarray) -> np.ndarray:
        """(n, points of D) at frames since the start of the sweep and resolutions (Å)."""
        return _product((self.resolution, 1.0 / d**2 - self.s_min), (self.time, frame))

    def absorption_weights(self, frame: np.ndarray, xy: np.ndarray) -> np.ndarray:
        """(n, points of A) at frames since the start of the sweep and pixels (n, 2)."""
        if self.x is None or self.y is None:
            return np.zeros((len(frame), 0))
        place = xy - self.corner
        return _product((self.x, place[:, 0]), (self.y, place[:, 1]), (self.time, frame))

    def decay_curve(self, frame: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        """(n,) D at frames since the start of the sweep, mean over the resolutions of the grid."""
        rows = parameters.reshape(self.decay_shape[::-1]).mean(axis=1)
        return self.time.value(frame, rows)

    def steps(self) -> np.ndarray:
        """Matrix of Σ (difference of neighbours)² over the grid of D."""
        n_resolution, n_time = self.decay_shape
        along = [_differences(n) for n in (n_time, n_resolution)]
        return np.asarray(np.kron(along[0], np.eye(n_resolution)) + np.kron(np.eye(n_time), along[1]))

    def configuration(self) -> dict[str, Any]:
        """What DIALS writes of the grids into .expt files."""
        out: dict[str, Any] = {
            "n_res_param": self.decay_shape[0], "n_time_param": self.decay_shape[1], "resmin": self.s_min,
            "res_bin_width": self.resolution.interval, "time_norm_fac": self.time.norm_factor,
            "time_rot_interval": self.time.interval,
        }  # fmt: skip
        if self.x is not None and self.y is not None:
            out |= {
                "n_x_param": self.x.n_parameters, "n_y_param": self.y.n_parameters, "xmin": self.corner[0],
                "ymin": self.corner[1], "x_bin_width": self.x.interval, "y_bin_width": self.y.interval,
            }  # fmt: skip
        return out


def _product(*axes: tuple[Smoother, np.ndarray]) -> np.ndarray:
    """(n, points) weights of all points of a grid, the first axis running fastest."""
    out = np.ones((len(axes[0][1]), 1))
    for smoother, at in axes:
        first, weight = smoother.weights(at)
        row = np.zeros((len(at), smoother.n_parameters + 2))
        np.put_along_axis(row, first[:, None] + np.arange(3), weight, axis=1)
        row = row[:, : smoother.n_parameters]  # what lies beyond has no weight
        out = (row[:, :, None] * out[:, None, :]).reshape(len(at), -1)
    return out


def _differences(n: int) -> np.ndarray:
    steps = np.diff(np.eye(n), axis=0)
    return np.asarray(steps.T @ steps)
