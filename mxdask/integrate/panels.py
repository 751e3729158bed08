"""Panel geometry as plain numbers for the kernels."""

from __future__ import annotations

import numpy as np

from mxdask.models import Detector


def panel_records(detector: Detector) -> np.ndarray:
    """(n_panels, 19) f8 records.

    Origin (mm), fast, slow and the normal along the ray (unit vectors), pixel size (mm), thickness (mm), µ (mm⁻¹),
    whether parallax is corrected, and the number of pixels along fast and slow.
    """
    rows = []
    for p in detector.panels:
        normal = p.normal if float(p.origin @ p.normal) >= 0 else -p.normal
        rows.append(
            np.concatenate(
                [p.origin, p.fast_axis, p.slow_axis, normal, p.pixel_size,
                 [p.thickness, p.mu, float(p.is_parallax_corrected)], p.image_size]
            )
        )  # fmt: skip
    return np.array(rows, dtype=np.float64)
