"""Why pixels of a sweep are masked: file format, detector model, look-up mask, shadow, values of one frame."""

from __future__ import annotations

import numpy as np

from mxdask.images.masks import combine
from mxdask.images.stack import ImageStack
from mxdask.masks.reasons import Reasons
from mxdask.models import Detector


def mask_reasons(
    stack: ImageStack, detector: Detector, z: int | None = None, frames: tuple[np.ndarray, ...] | None = None
) -> Reasons:
    """Everything that takes pixels out of a sweep, each pixel with its first reason.

    Parameters
    ----------
    z : the frame whose shadow counts; None leaves the shadow out.
    frames : per panel the raw counts of that frame, for the trusted range; None leaves it out.

    Raises
    ------
    FileError : a mask cannot be read or does not fit the detector.
    """
    shapes, nothing = stack.shapes, [()] * len(stack.shapes)
    reasons = Reasons.none(shapes)
    whole = stack.source.good_pixels()
    if whole is not None:
        reasons.add("pixel mask of the image file", [window.of(whole) for window in stack.windows])
    if any(stack.untrusted):
        reasons.add("untrusted rectangles (gaps)", combine(shapes, None, stack.untrusted, None))
    if stack.mask_file is not None:
        reasons.add("look-up mask", combine(shapes, None, nothing, stack.mask_file))
    if stack.shadow is not None and z is not None:
        reasons.add("goniometer shadow", stack.shadow.over([np.ones(shape, dtype=bool) for shape in shapes], z))
    if frames is not None:
        limits = [panel.trusted_range for panel in detector.panels]
        pairs = list(zip(frames, limits, strict=True))
        reasons.add("below the trusted range", [frame >= low for frame, (low, _) in pairs])
        reasons.add("above it (overloaded, bad)", [frame <= high for frame, (_, high) in pairs])
    return reasons
