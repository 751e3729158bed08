"""Shapes on a panel that a user does not trust (front.md 5.1)."""

from __future__ import annotations

import numpy as np

from mxdask.errors import ParameterError
from mxdask.masks.params import Region
from mxdask.masks.polygon import polygon_runs


def mask_border(mask: np.ndarray, border: int) -> None:
    """Set the outermost pixels of a (slow, fast) mask to False."""
    if border > 0:
        mask[:border] = mask[-border:] = False
        mask[:, :border] = mask[:, -border:] = False


def mask_region(mask: np.ndarray, region: Region) -> None:
    """Set the shapes of a region to False in the (slow, fast) mask of its panel.

    Raises
    ------
    ParameterError : a rectangle that is not inside the panel, or a shape that touches none of its pixels.
    """
    if region.is_whole_panel:
        mask[:] = False
        return
    height, width = mask.shape
    if region.rectangle is not None:
        x0, x1, y0, y1 = region.rectangle
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            raise _outside("rectangle", region.rectangle, region, mask)
        mask[y0:y1, x0:x1] = False
    if region.circle is not None and not _mask_circle(mask, *region.circle):
        raise _outside("circle", region.circle, region, mask)
    if region.polygon is not None:
        runs = polygon_runs(np.reshape(region.polygon, (-1, 2)), (height, width))
        if runs.n_pixels == 0:
            raise _outside("polygon", region.polygon, region, mask)
        runs.fill(mask, False)
    if region.pixel is not None:
        y, x = region.pixel
        if not (0 <= y < height and 0 <= x < width):
            raise _outside("pixel", region.pixel, region, mask)
        mask[y, x] = False


def _mask_circle(mask: np.ndarray, x: float, y: float, radius: float) -> bool:
    """Mask pixel (i, j) where (i − x)² + (j − y)² < r²; whether any of the circle's square is on the panel."""
    height, width = mask.shape
    x0, x1 = max(int(np.floor(x - radius)), 0), min(int(np.ceil(x + radius)) + 1, width)
    y0, y1 = max(int(np.floor(y - radius)), 0), min(int(np.ceil(y + radius)) + 1, height)
    if x0 >= x1 or y0 >= y1:
        return False
    j, i = np.ogrid[y0:y1, x0:x1]
    mask[y0:y1, x0:x1] &= (i - x) ** 2 + (j - y) ** 2 >= radius**2
    return True


def _outside(shape: str, values: tuple[float, ...], region: Region, mask: np.ndarray) -> ParameterError:
    height, width = mask.shape
    numbers = ",".join(f"{v:g}" for v in values)
    return ParameterError(
        f"untrusted.{shape}={numbers}: not on panel {region.panel or 0}, which has {width} (fast) × {height} (slow) "
        "pixels; correct the numbers or give untrusted.panel="
    )
