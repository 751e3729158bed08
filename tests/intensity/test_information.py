"""Resolution limit and hardly measured reflections, on intensities whose quality is known."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from mxdask.intensity.estimate_resolution import critical_correlation, estimate_resolution
from mxdask.intensity.information import barely_measured
from mxdask.intensity.merging import Unmerged

CELL, GROUP = gemmi.UnitCell(60, 60, 60, 90, 90, 90), gemmi.SpaceGroup("P 1")


def observations(seed: int, fall_off: float, sigma: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """hkl (unique half space), true intensities falling as exp(-fall_off/d²), and errors of ``sigma``."""
    rng = np.random.default_rng(seed)
    grid = np.arange(-24, 25)
    hkl = np.array(np.meshgrid(np.arange(1, 25), grid, grid)).reshape(3, -1).T.astype(np.int32)
    s = (hkl**2).sum(axis=1) / 3600.0
    hkl, s = hkl[s < 0.16], s[s < 0.16]
    true = 40 * np.exp(-fall_off * s) * rng.exponential(size=len(s))
    return hkl, true, np.full(len(s), sigma)


def unmerged(hkl: np.ndarray, intensity: np.ndarray, sigma: np.ndarray) -> Unmerged:
    return Unmerged.of(hkl, intensity, sigma**2, CELL, GROUP)


def test_resolution_is_where_signal_and_noise_make_it() -> None:
    """With two observations each, CC½ = Σ²/(Σ² + σ²): 0.3 where Σ = σ·√(0.3/0.7)."""
    hkl, true, sigma = observations(1, fall_off=40.0)
    rng = np.random.default_rng(2)
    two = np.concatenate([true + rng.normal(size=len(true)), true + rng.normal(size=len(true))])
    estimate = estimate_resolution(unmerged(np.tile(hkl, (2, 1)), two, np.tile(sigma, 2)), 0.3)
    assert estimate is not None
    expected = 1 / np.sqrt(np.log(40 / np.sqrt(0.3 / 0.7)) / 40.0)
    assert abs(estimate.d_min - expected) < 0.08


def test_good_data_reach_their_edge_and_few_data_say_nothing() -> None:
    hkl, true, sigma = observations(1, fall_off=1.0, sigma=0.01)
    data = unmerged(np.tile(hkl, (2, 1)), np.tile(true, 2), np.tile(sigma, 2))
    estimate = estimate_resolution(data, 0.3)
    assert estimate is not None
    assert estimate.d_min == pytest.approx(1 / np.sqrt(data.inverse_d_squared.max()), rel=1e-9)
    assert estimate_resolution(unmerged(hkl[:20], true[:20], sigma[:20]), 0.3) is None


def test_critical_correlation_is_exceeded_as_often_as_asked() -> None:
    rng = np.random.default_rng(3)
    pairs = rng.normal(size=(4000, 2, 12))
    cc = np.array([np.corrcoef(*p)[0, 1] for p in pairs])
    assert abs(np.mean(cc > critical_correlation(np.array([12]), 0.1)) - 0.1) < 0.02


def test_only_what_a_far_weaker_crystal_saw_is_left_out() -> None:
    hkl, true, sigma = observations(4, fall_off=10.0)
    rng = np.random.default_rng(5)
    weak = rng.permutation(len(hkl))[:300]
    sigma[weak] = 400.0
    data = unmerged(hkl, true + sigma * rng.normal(size=len(true)), sigma)
    bad = barely_measured(data, 4.0)
    picked = {tuple(h) for h in data.asu.unique[bad].tolist()}
    expected = {tuple(h) for h in Unmerged.of(hkl[weak], true[weak], sigma[weak], CELL, GROUP).asu.unique.tolist()}
    assert picked == expected


def test_strong_reflections_stay_however_uneven_their_errors() -> None:
    """Errors proportional to intensities: the strong ones have large σ, and are the best measured."""
    hkl, true, _ = observations(8, fall_off=5.0)
    sigma = 0.2 * true + 0.01
    assert not barely_measured(unmerged(hkl[:300], true[:300], sigma[:300]), 4.0).any()


def test_a_weak_data_set_as_a_whole_is_kept() -> None:
    """Where every reflection is as noisy as the others, none stands out by more than its shell's own signal."""
    hkl, true, sigma = observations(6, fall_off=2.0)
    data = unmerged(hkl, true + 20 * np.random.default_rng(7).normal(size=len(true)), sigma * 20)
    assert barely_measured(data, 4.0).mean() < 0.01
