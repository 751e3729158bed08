"""What the background parameters ask of the kernels."""

from __future__ import annotations

import numpy as np

from mxdask.integrate import background_shapes_kernels as outliers
from mxdask.integrate import box_background_kernels as kinds
from mxdask.integrate.params import Background

_TERMS = {
    "constant2d": (kinds.CONSTANT, 1),
    "constant3d": (kinds.CONSTANT, 0),
    "linear2d": (kinds.PLANE, 1),
    "loglinear2d": (kinds.PLANE, 1),
    "linear3d": (kinds.PLANE_AND_ROTATION, 0),
    "loglinear3d": (kinds.PLANE_AND_ROTATION, 0),
}
_OUTLIERS = {
    "null": (outliers.NONE, 0.0, 0.0),
    "nsigma": (outliers.NSIGMA, 3.0, 3.0),
    "truncated": (outliers.TRUNCATED, 0.01, 0.01),
    "normal": (outliers.NORMAL, 0.0, 0.0),
    "plane": (outliers.PLANE, 0.0, 4.0),
    "tukey": (outliers.TUKEY, 1.5, 1.5),
}


def recipe_of(background: Background) -> tuple[np.ndarray, np.ndarray]:
    """(5,) i8 and (2,) f8: recipe and limits of :func:`mxdask.integrate.box_background_kernels.background_under`."""
    if background.algorithm == "glm":
        model = background.glm.robust.algorithm
        terms, per_image = _TERMS[model]
        rings = background.glm.rings and model == "constant3d"
        return np.array([1, terms, per_image, outliers.NONE, rings], dtype=np.int64), np.zeros(2)
    simple = background.simple
    terms, per_image = _TERMS[simple.model.algorithm]
    method, lower, upper = _OUTLIERS[simple.outlier.algorithm]
    lower = lower if simple.outlier.lower is None else simple.outlier.lower
    upper = upper if simple.outlier.upper is None else simple.outlier.upper
    return np.array([0, terms, per_image, method, 0], dtype=np.int64), np.array([lower, upper])
