"""estimate_resolution on intensities whose quality is known at every resolution."""

from __future__ import annotations

import numpy as np
import pytest
from scaled_sets import CELL, GROUP, true_intensities, unique_reflections

from mxdask.assess.observations import ScaledObservations
from mxdask.assess.resolution import Params, Reference, as_data, estimate, log_text
from mxdask.assess.resolution_pictures import resolution_page
from mxdask.intensity.estimate_resolution import correlation_limit, log_curve, polynomial_curve, tanh_curve
from mxdask.intensity.resolution_bins import counting_sorted_edges, metric_in_bins


def falling(multiplicity: int = 4, seed: int = 0, noise: float = 30.0) -> tuple[ScaledObservations, np.ndarray]:
    """B = 80 Å² more than the atoms', constant errors: signal falls below noise near 3 Å."""
    rng = np.random.default_rng(seed)
    hkl = unique_reflections(2.2)
    s = 1.0 / CELL.calculate_d_array(hkl) ** 2
    truth = true_intensities(hkl, rng) * np.exp(-30.0 * s)
    tiled = np.tile(hkl, (multiplicity, 1))
    observed = np.tile(truth, multiplicity) + noise * rng.normal(size=len(tiled))
    data = ScaledObservations(
        tiled, observed, np.full(len(tiled), noise**2), np.zeros(len(tiled), np.int32), np.ones(len(tiled)), CELL,
        GROUP, ("one",),
    )  # fmt: skip
    return data, truth


def test_both_ways_of_cc_half_agree_with_theory() -> None:
    """Exponential intensities of mean Σ: CC½ = Σ²/(Σ² + 2σ²/n), so 0.3 where Σ = σ·√(2·0.3/(0.7·n))."""
    data, _ = falling()
    wanted = 30.0 * np.sqrt(0.6 / (0.7 * 4))
    s = np.log(1000.0 / wanted) / 40.0
    for method in ("half_dataset", "sigma_tau"):
        found = estimate(data, Params(cc_half_method=method))
        assert found.d_min == pytest.approx(s**-0.5, abs=0.08), method


def test_every_metric_crosses_where_its_own_values_do() -> None:
    data, truth = falling()
    limits = {"cc_half": 0.5, "cc_ref": 0.5, "isigma": 1.0, "misigma": 2.0, "i_mean_over_sigma_mean": 2.0,
              "rmerge": 0.5, "completeness": 0.9}  # fmt: skip
    reference = Reference(data.hkl[: len(truth)], truth)
    found = estimate(data, Params(**limits), reference)
    assert list(found.found) == ["cc_half", "cc_ref", "isigma", "misigma", "i_mean_over_sigma_mean", "rmerge",
                                 "completeness"]  # fmt: skip
    for metric, result in found.found.items():
        assert result is not None, metric
        if metric == "completeness":  # everything is there
            assert result.d_min == pytest.approx(2.2, abs=0.01)
            continue
        near = np.argmin(np.abs(result.inverse_d_squared - result.d_min**-2))
        around = np.nanmean(result.cc_half[max(0, near - 4) : near + 5])
        assert around == pytest.approx(limits[metric], rel=0.25), metric
    assert found.d_min == max(r.d_min for r in found.found.values() if r is not None)
    assert "Rmerge = 0.5" in log_text(found)
    assert set(as_data(found)["metrics"]) == set(limits)
    assert resolution_page(found).count("<svg") == 7


def test_metrics_by_hand() -> None:
    data, _ = falling(2)
    unmerged = data.unmerged()
    edges = counting_sorted_edges(unmerged.inverse_d_squared, 1, 10)
    assert len(edges) == 2
    first, second = data.intensity.reshape(2, -1)
    mean = (first + second) / 2
    sigma = 30.0 / np.sqrt(2)
    assert metric_in_bins(unmerged, edges, "misigma")[0] == pytest.approx((mean / sigma).mean())
    assert metric_in_bins(unmerged, edges, "isigma")[0] == pytest.approx((data.intensity / 30.0).mean())
    assert metric_in_bins(unmerged, edges, "i_mean_over_sigma_mean")[0] == pytest.approx(mean.mean() / sigma)
    assert metric_in_bins(unmerged, edges, "rmerge")[0] == pytest.approx(
        np.abs(first - second).sum() / data.intensity.sum()
    )


def test_curves_recover_what_made_them() -> None:
    x = np.linspace(0.05, 0.5, 60)
    y = 0.5 * (1 - np.tanh((x - 0.31) / 0.07))
    np.testing.assert_allclose(tanh_curve(x, y, x), y, atol=1e-8)
    np.testing.assert_allclose(polynomial_curve(x, 1 + x**3, x), 1 + x**3, rtol=1e-9)
    np.testing.assert_allclose(log_curve(x, np.exp(-7 * x), x), np.exp(-7 * x), rtol=1e-9)


def test_insignificant_bins_count_where_the_others_would_call_all_data_good() -> None:
    """Few pairs far out: none of their correlations is significant, yet they show that the data end."""
    edges = 1 / np.sqrt(np.linspace(0.01, 0.5, 51))
    s = 1 / edges[1:] ** 2
    cc = np.where(s < 0.3, 0.9, 0.0)
    pairs = np.where(s < 0.3, 200.0, 20.0)
    found = correlation_limit(edges, cc, pairs, 0.3)
    assert found is not None and found.d_min == pytest.approx(0.3**-0.5, abs=0.05)


def test_a_curve_that_never_falls_gives_way_to_all_bins() -> None:
    """One significant bin is below the limit, but noise made those beyond it come out high."""
    edges = 1 / np.sqrt(np.linspace(0.01, 0.5, 51))
    s = 1 / edges[1:] ** 2
    pairs = np.where(s < 0.3, 200.0, 12.0)
    true = 0.5 * (1 - np.tanh((s - 0.3) / 0.08))
    cc = true + np.where(s < 0.3, 0.0, np.where(np.arange(50) % 2, -0.5, 0.5))
    cc[20] = 0.28
    found = correlation_limit(edges, cc, pairs, 0.3)
    every = correlation_limit(edges, cc, pairs, 0.3, significance=None)
    assert found is not None and every is not None
    assert found.d_min == every.d_min == pytest.approx(0.334**-0.5, abs=0.06)
