"""Detector gain from the scatter of the counts on an image (``estimate_gain``, front.md 7)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from mxdask.errors import FileError, MxdaskError
from mxdask.images import open_stack
from mxdask.models import Experiment
from mxdask.spots.threshold import box_counts


def estimate_gain(image: np.ndarray, mask: np.ndarray, kernel_size: tuple[int, int] = (10, 10)) -> float:
    """Gain as the typical variance/mean in windows of background.

    Parameters
    ----------
    image : (slow, fast) counts. mask : (slow, fast) bool, True = usable.
    kernel_size : half sizes (slow, fast) of the window; only windows without masked pixels count.

    Returns
    -------
    Median of variance/mean without outliers (outside the quartiles by more than 1.5 interquartile ranges).

    Raises
    ------
    MxdaskError : no complete window, or variance/mean is the same everywhere.
    """
    ky, kx = kernel_size
    size = (2 * ky + 1, 2 * kx + 1)
    n = size[0] * size[1]
    values = np.where(mask, image, 0).astype(np.float64)
    mean = uniform_filter(values, size, mode="constant")
    variance = (uniform_filter(values * values, size, mode="constant") - mean * mean) * (n / (n - 1))
    whole = (box_counts(mask, ky, kx) == n) & (mean > 1e-9)
    index = variance[whole] / mean[whole]
    if len(index) == 0:
        raise MxdaskError(
            f"gain: no {size[0]}×{size[1]} window without masked pixels has counts; use a smaller kernel_size"
        )
    low, high = np.quantile(index, [0.25, 0.75])
    if high <= low:
        raise MxdaskError("gain: variance/mean is the same in all windows; the image is not one of photon counts")
    reach = 1.5 * (high - low)
    return float(np.median(index[(index >= low - reach) & (index <= high + reach)]))


def sweep_gains(experiment: Experiment, kernel_size: tuple[int, int], max_images: int) -> list[tuple[int, int, float]]:
    """(image number, panel, gain) of up to ``max_images`` images, evenly spread over the sweep.

    Images that cannot be read, and panels without a complete window, are left out.

    Raises
    ------
    MxdaskError : no image gave an estimate.
    """
    assert experiment.detector is not None
    stack = open_stack(experiment)
    first, end = stack.array_range
    chosen = np.unique(np.linspace(first, end - 1, min(max_images, end - first)).astype(int))
    found, problem = [], ""
    with stack.reader() as reader:
        for z in chosen.tolist():
            try:
                frames = reader.read(z)
            except FileError as error:
                problem = str(error)
                continue
            for number, (frame, mask, panel) in enumerate(
                zip(frames, stack.mask_of(z), experiment.detector.panels, strict=True)
            ):
                low, high = panel.trusted_range
                try:
                    gain = estimate_gain(frame, mask & (frame >= low) & (frame <= high), kernel_size)
                except MxdaskError as error:
                    problem = str(error)
                    continue
                found.append((z + 1, number, gain))
    if not found:
        raise MxdaskError(f"{experiment.name}: {problem}")
    return found
