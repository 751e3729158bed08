"""merging_statistics, damage_analysis, wilson and twinning on made-up data."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from scaled_sets import B_FACTOR, CELL, GROUP, crystals, true_intensities, unique_reflections

from mxdask.assess import damage_analysis, distribution, merging
from mxdask.errors import ParameterError
from mxdask.intensity import damage
from mxdask.intensity.further_statistics import further_statistics, normal_slope
from mxdask.intensity.merging import Means, Merged, Unmerged, merge
from mxdask.intensity.pair_kernels import add_pairs
from mxdask.intensity.statistics import merging_statistics, shell_edges
from mxdask.intensity.twinning import britton, h_test, twin_tests
from mxdask.intensity.wilson import sum_of_squares, wilson_plot


def test_the_tables_hold_every_definition() -> None:
    data, _ = crystals(8, bad=False)
    found = merging.statistics(data, merging.Params(n_bins=5))
    told = merging.as_data(found)
    names = ("Rmerge", "Rmeas", "Rpim", "Rsplit", "CC_half", "CC_half_sigma_tau", "CC_half_weighted", "CC_anom",
             "anomalous_completeness", "dF_over_F", "delta_I_over_sigma", "anomalous_slope")  # fmt: skip
    assert all(len(told["shells"][n]) == 5 and n in told["overall"] for n in names)
    assert "cc1/2" in merging.log_text(found)
    page = merging.statistics_page(found)
    assert page.count("<svg") == 5 and "Anomalous signal: nothing to draw" in page  # no Friedel mates here


def test_rsplit_and_weighted_correlation_by_hand() -> None:
    hkl = np.array([[1, 2, 3]] * 2 + [[2, 3, 4]] * 2 + [[3, 4, 5]] * 2)
    value = np.array([10.0, 12.0, 40.0, 50.0, 20.0, 18.0])
    data = Unmerged.of(hkl, value, np.array([1.0, 1, 4, 4, 1, 1]), CELL, GROUP)
    _, overall = further_statistics(data, shell_edges(data, 1))
    assert overall.Rsplit[0] == pytest.approx(np.sqrt(2) * (2 + 10 + 2) / value.sum())
    assert overall.n_effective[0] == pytest.approx((0.5 + 0.125 + 0.5) ** 2 / (0.25 + 0.125**2 + 0.25))
    assert overall.unmerged_I_over_sigma[0] == pytest.approx((value / [1, 1, 2, 2, 1, 1]).mean())


def test_slope_is_one_for_noise_and_more_for_signal() -> None:
    noise = np.random.default_rng(0).normal(size=5000)
    assert normal_slope(noise) == pytest.approx(1.0, abs=0.05)
    assert normal_slope(2 * noise) == pytest.approx(2.0, abs=0.1)
    assert np.isnan(normal_slope(noise[:5]))


def test_pair_sums_equal_all_pairs_one_by_one() -> None:
    data, _ = crystals(6, bad=False)
    unmerged = data.unmerged()
    step = (np.random.default_rng(0).integers(0, 9, len(data))).astype(np.int64)
    shell = (unmerged.inverse_d_squared > 0.05).astype(np.int64)
    cumulative, by_difference = damage.pair_sums(unmerged, step, shell, 2, 9, anomalous=False)
    expected, differences = np.zeros((4, 2, 9)), np.zeros((2, 9))
    for group in range(len(unmerged.asu.unique)):
        rows = np.flatnonzero(unmerged.asu.group == group)
        for a, i in enumerate(rows):
            for j in rows[:a]:
                x, y = data.intensity[i], data.intensity[j]
                sx, sy = x / np.sqrt(data.variance[i]), y / np.sqrt(data.variance[j])
                expected[:, shell[group], max(step[i], step[j])] += (abs(x - y), abs(x + y) / 2, sx + sy, 2)
                differences[:, abs(step[i] - step[j])] += (abs(x - y), (x + y) / 2)
    np.testing.assert_allclose(cumulative, np.cumsum(expected, axis=2), rtol=1e-10)
    np.testing.assert_allclose(by_difference, differences, rtol=1e-10)


def test_kernel_equals_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = crystals(6, bad=False)
    unmerged, step = data.unmerged(), data.image - 1
    shell = np.zeros(len(unmerged.asu.unique), dtype=np.int64)
    plain = damage.pair_sums(unmerged, step, shell, 1, 20, anomalous=True)
    monkeypatch.setattr(damage, "_FEW_PAIRS", -1)
    for a, b in zip(plain, damage.pair_sums(unmerged, step, shell, 1, 20, anomalous=True), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    assert add_pairs is not None


def test_damage_shows_as_rising_rcp_and_rd() -> None:
    data, _ = crystals(8, bad=False, noise=2.0)
    fading = np.random.default_rng(1).normal(0, 0.02, (data.hkl.max() * 2 + 2) ** 3)
    place = (np.abs(data.hkl) @ [1, 97, 9409]) % len(fading)
    damaged = replace(data, intensity=data.intensity * np.exp(fading[place] * data.z))
    good, bad = (damage_analysis.analyse(d, damage_analysis.Params()) for d in (data, damaged))
    assert bad.rcp[-1] > 2 * good.rcp[-1]
    assert bad.rd[15:].mean() > 2 * bad.rd[:4].mean()
    assert good.rd[15:].mean() < 1.5 * good.rd[:4].mean()
    assert good.dose.tolist() == list(range(1, 21))
    assert np.all(np.diff(good.completeness) >= 0) and good.completeness[-1] > 0.95
    assert "Rcp" in damage_analysis.log_text(good) and damage_analysis.damage_page(good).count("<svg") == 5


def test_doses_of_sweeps() -> None:
    data, _ = crystals(3, bad=False)
    one = damage_analysis.doses(data, damage_analysis.ExperimentDoses(dose_per_image=(2.0,)))
    np.testing.assert_allclose(one, 2.0 * data.image)
    shared = damage_analysis.doses(data, damage_analysis.ExperimentDoses(shared_crystal=True))
    np.testing.assert_allclose(shared, data.image + 20 * data.sweep)
    with pytest.raises(ParameterError, match="2 values for 3 sweeps"):
        damage_analysis.doses(data, damage_analysis.ExperimentDoses(dose_per_image=(1.0, 2.0)))


def merged_of(hkl: np.ndarray, intensity: np.ndarray, group: gemmi.SpaceGroup, cell: gemmi.UnitCell) -> Merged:
    ops = group.operations()
    n = np.ones(len(hkl), dtype=np.int64)
    means = Means(n, intensity, np.full(len(hkl), 1e-3 * intensity.mean()))
    return Merged(
        hkl, np.asarray(ops.centric_flag_array(hkl), bool), np.ones(len(hkl)),
        1 / cell.calculate_d_array(hkl) ** 2, means, means, means,
    )  # fmt: skip


def test_wilson_b_and_scale_come_back() -> None:
    hkl = unique_reflections(2.0)
    s = 1 / CELL.calculate_d_array(hkl) ** 2
    atoms = sum_of_squares(s, 4 * 150.0)
    rng = np.random.default_rng(0)
    truth = 0.5 * atoms * np.exp(-B_FACTOR * s / 2) * rng.exponential(size=len(hkl))
    found = wilson_plot(merged_of(hkl, truth, GROUP, CELL), CELL, GROUP, 150.0)
    assert found.b == pytest.approx(B_FACTOR, abs=4 * found.b_esd + 0.3) and found.b_esd < 2
    assert np.exp(found.ln_k) == pytest.approx(0.5, rel=0.15)
    assert np.trace(found.b_cart) / 3 == pytest.approx(B_FACTOR, abs=2.0)
    assert np.abs(found.b_cart[~np.eye(3, dtype=bool)]).max() < 1e-9  # orthorhombic
    assert "Wilson B" in distribution.wilson_text(found)


def test_anisotropic_fall_off_is_seen() -> None:
    hkl = unique_reflections(2.0)
    s = 1 / CELL.calculate_d_array(hkl) ** 2
    q = hkl / np.array([50.0, 60.0, 70.0])
    fall = np.exp(-0.5 * (q**2 @ [10.0, 20.0, 40.0]))
    truth = sum_of_squares(s, 800.0) * fall * np.random.default_rng(1).exponential(size=len(hkl))
    found = wilson_plot(merged_of(hkl, truth, GROUP, CELL), CELL, GROUP, 200.0)
    np.testing.assert_allclose(np.diag(found.b_cart), [10, 20, 40], atol=2.5)


TETRAGONAL, P4 = gemmi.UnitCell(60, 60, 70, 90, 90, 90), gemmi.SpaceGroup("P 4")


def twinned(alpha: float, seed: int = 2) -> Merged:
    """Intensities of P4 crystals twinned by a two-fold along a."""
    hkl = gemmi.make_miller_array(TETRAGONAL, P4, 2.2, 9.0, True).astype(np.int32)
    rng = np.random.default_rng(seed)
    true = rng.exponential(size=len(hkl)) * 100
    value = {tuple(h): v for h, v in zip(hkl.tolist(), true, strict=True)}
    asu, ops = gemmi.ReciprocalAsu(P4), P4.operations()
    mates = np.array([value[tuple(asu.to_asu([h, -k, -l], ops)[0])] for h, k, l in hkl.tolist()])
    return merged_of(hkl, (1 - alpha) * true + alpha * mates, P4, TETRAGONAL)


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.35])
def test_twin_fraction_is_found(alpha: float) -> None:
    found = twin_tests(twinned(alpha), TETRAGONAL, P4, 3.0)
    assert len(found.laws) == 1
    law = found.laws[0]
    assert law.alpha_h == pytest.approx(alpha, abs=0.03)
    assert law.alpha_britton == pytest.approx(alpha, abs=0.06)
    assert found.second_moment == pytest.approx(2 - 2 * alpha * (1 - alpha), abs=0.1)
    assert law.r_twin == pytest.approx(0.5 * (1 - 2 * alpha), abs=0.03)


def test_l_test_tells_twins_from_single_crystals() -> None:
    single, perfect = (twin_tests(twinned(a), TETRAGONAL, P4, 3.0) for a in (0.0, 0.5))
    assert single.mean_abs_L == pytest.approx(0.5, abs=0.015) and "no twinning" in single.verdict
    assert perfect.mean_abs_L == pytest.approx(0.375, abs=0.015) and "is twinned" in perfect.verdict
    assert single.mean_L_squared == pytest.approx(1 / 3, abs=0.02)
    assert "twin law" in distribution.twinning_text(single) and "<svg" in distribution.twinning_page(single)


def test_ten_single_crystals_are_not_taken_for_twins_and_ten_twins_are_found() -> None:
    verdicts = [twin_tests(twinned(a, seed), TETRAGONAL, P4, 3.0).verdict for a in (0.0, 0.3) for seed in range(10)]
    assert all("no twinning" in v for v in verdicts[:10])
    assert all("is twinned" in v for v in verdicts[10:])


def test_an_anomalous_scatterer_shows_in_the_statistics_and_is_no_twin() -> None:
    rng = np.random.default_rng(4)
    hkl = gemmi.make_miller_array(TETRAGONAL, P4, 3.0, 20.0, True).astype(np.int32)
    true = rng.exponential(size=len(hkl)) * 100
    change = 1 + 0.08 * rng.normal(size=len(hkl))
    both, value = np.concatenate([hkl, -hkl]), np.concatenate([true * change, true * (2 - change)])
    both, value = np.repeat(both, 4, axis=0), np.repeat(value, 4)
    sigma = 0.02 * value + 1.0
    data = Unmerged.of(both, value + sigma * rng.normal(size=len(value)), sigma**2, TETRAGONAL, P4)
    edges = shell_edges(data, 1)
    _, overall = merging_statistics(data, edges)
    _, more = further_statistics(data, edges)
    assert overall.CC_anom[0] > 0.8
    assert more.anomalous_slope[0] > 2
    assert overall.anomalous_completeness[0] == pytest.approx(100)
    assert "no twinning" in twin_tests(merge(data), TETRAGONAL, P4, 3.0).verdict


def test_no_twin_law_in_the_lattices_own_group() -> None:
    hkl = unique_reflections()
    found = twin_tests(merged_of(hkl, true_intensities(hkl, np.random.default_rng(0)), GROUP, CELL), CELL, GROUP, 1.0)
    assert found.laws == ()
    assert found.second_moment_centric == pytest.approx(3.0, abs=0.5)


def test_tests_with_pairs_by_hand() -> None:
    assert h_test(np.array([3.0, 1.0]), np.array([1.0, 1.0])) == pytest.approx(0.25)
    assert np.isnan(h_test(np.zeros(0), np.zeros(0)))
    same = np.full(100, 5.0)
    assert britton(same, same) == pytest.approx(0.5, abs=0.02)
