"""What symmetry analysis leaves out of one crystal's reflections."""

from __future__ import annotations

import numpy as np

from mxdask.intensity.normalisation import wilson_outliers
from mxdask.intensity.symmetry_data import normalised_set


def test_absurd_intensities_are_left_out_of_normalised_sets() -> None:
    rng = np.random.default_rng(1)
    h = np.arange(1, 11)
    hkl = np.stack(np.meshgrid(h, h, h, indexing="ij"), axis=-1).reshape(-1, 3)
    intensity = rng.exponential(100.0, len(hkl))
    absurd = rng.choice(len(hkl), 5, replace=False)
    intensity[absurd] = [1e5, -1e5, 5e4, 2e5, -3e4]
    found = normalised_set(
        hkl,
        intensity,
        np.full(len(hkl), 25.0),
        np.eye(3),
        np.array([50, 60, 70, 90, 90, 90.0]),
        np.eye(3)[None],
        "quasi",
    )
    assert len(found) == len(hkl) - 5
    assert np.abs(found.intensity).max() < 16
    kept = {tuple(i) for i in np.abs(found.hkl)}
    assert not kept & {tuple(i) for i in hkl[absurd]}


def test_strong_reflections_at_low_resolution_of_a_small_set_stay() -> None:
    rng = np.random.default_rng(2)
    for n in (10, 60, 150, 600):
        s = rng.uniform(0.005, 0.4, n)
        intensity = rng.exponential(1000.0 * np.exp(-0.5 * 40.0 * s))  # B = 40 Å²: e⁻⁸ at the edge
        assert not wilson_outliers(intensity, s).any(), n
