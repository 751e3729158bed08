"""Where predictions miss: made-up residuals come back where they were put."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_sweeps import a_crystal, a_sweep

from mxdask.refine.residuals import along_sweep, over_detector
from mxdask.table import Flag, ReflectionTable


def _table(observed: np.ndarray, predicted: np.ndarray, used: np.ndarray) -> ReflectionTable:
    flags = np.where(used, int(Flag.USED_IN_REFINEMENT), 0)
    return ReflectionTable({"xyzobs.px.value": observed, "xyzcal.px": predicted, "flags": flags})


def test_along_a_sweep():
    sweep = a_sweep("s", a_crystal(0))
    first, last = sweep.scan.image_range
    n = last - first + 1
    z = first - 1 + np.repeat(np.arange(n), 4) + 0.5
    observed = np.stack([np.full(4 * n, 50.0), np.full(4 * n, 60.0), z], axis=1)
    predicted = observed.copy()
    predicted[:, 0] += np.where(np.arange(4 * n) % 2, 0.3, -0.3)
    predicted[:, 1] += 0.1 * (z < first + 9)  # the first ten images
    predicted[::4] += 9  # not used
    used = np.arange(4 * n) % 4 != 0
    found = along_sweep(sweep, _table(observed, predicted, used))
    width = found["image"][1] - found["image"][0]
    assert len(found["image"]) == -(-n // width) <= 60
    np.testing.assert_allclose(found["x"], 0.3, rtol=1e-3)
    assert found["y"][0] == pytest.approx(0.1, rel=1e-3)
    assert found["y"][-1] == 0
    assert along_sweep(sweep, _table(observed, predicted, used & False)) == {}


def test_over_the_detector():
    sweep = a_sweep("s", a_crystal(0))
    width, height = sweep.detector[0].image_size
    random = np.random.default_rng(0)
    observed = np.c_[random.uniform(0, width, 20_000), random.uniform(0, height, 20_000), np.zeros(20_000)]
    predicted = observed.copy()
    predicted[:, 0] -= 0.2 * (observed[:, 0] > width / 2)
    predicted[:, 1] += 0.1 * (observed[:, 1] < height / 2)
    found = over_detector([sweep], _table(observed, predicted, np.ones(20_000, dtype=bool)))
    assert found["size"] == [width, height]
    x, y = np.array(found["x"]), np.array(found["y"])
    np.testing.assert_allclose(x[:, :8], 0, atol=1e-9)
    np.testing.assert_allclose(x[:, 8:], 0.2, rtol=1e-3)
    np.testing.assert_allclose(y[:8], -0.1, rtol=1e-3)
    np.testing.assert_allclose(y[8:], 0, atol=1e-9)
    assert over_detector([sweep], _table(observed[:2], predicted[:2], np.ones(2, dtype=bool)))["x"][0][0] is None
