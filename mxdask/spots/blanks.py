"""Parts of a sweep without diffraction (``detect_blanks``, front.md 7)."""

from __future__ import annotations

import numpy as np

from mxdask.models import Scan


def detect_blanks(
    z: np.ndarray, scan: Scan, *, phi_step: float = 2.0, fractional_loss: float = 0.1
) -> list[tuple[int, int]]:
    """Ranges of images with at most this fraction of the spots of the fullest range.

    Parameters
    ----------
    z : (n,) frame coordinates of the spots (or of indexed ones).
    phi_step : degrees per bin; a bin is a whole number of images.

    Returns
    -------
    (first, last) image numbers; neighbouring blank bins are one range. Everything is blank if there are no spots.
    """
    first, end = scan.array_range
    step = 1 if scan.is_still else max(1, round(phi_step / abs(scan.width)))
    edges = np.append(np.arange(first, end, step), end)
    counts = np.histogram(z, edges)[0]
    blank = counts <= fractional_loss * counts.max()
    changes = np.flatnonzero(np.diff(np.concatenate([[False], blank, [False]]).astype(np.int8)))
    return [(int(edges[a]) + 1, int(edges[b])) for a, b in changes.reshape(-1, 2)]
