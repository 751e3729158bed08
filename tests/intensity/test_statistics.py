"""Merging and its statistics: small sums by hand, and sums that add up however the data are cut."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.intensity.asu import pack
from mxdask.intensity.merging import Unmerged, merge, weighted_means
from mxdask.intensity.statistics import (
    ShellSums,
    correlation,
    half_sets,
    merging_statistics,
    shell_edges,
    sigma_tau_cc,
)
from mxdask.intensity.tables import shell_table, summary_table, table1

CELL, GROUP = gemmi.UnitCell(30, 40, 50, 90, 90, 90), gemmi.SpaceGroup("P 21 21 21")


def simulated(n: int = 3000, noise: float = 3.0, seed: int = 0) -> Unmerged:
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-8, 9, (n, 3))
    hkl = hkl[np.any(hkl != 0, axis=1)]
    _, group = np.unique(np.sort(np.abs(hkl), axis=1), axis=0, return_inverse=True)
    truth = rng.exponential(50.0, group.max() + 1)[group]
    sigma = noise * rng.uniform(0.5, 1.5, len(hkl))
    return Unmerged.of(hkl, truth + sigma * rng.normal(size=len(hkl)), sigma**2, CELL, GROUP)


def test_weighted_means_by_hand():
    means = weighted_means(np.array([0, 0, 2]), 3, np.array([10.0, 20.0, 5.0]), np.array([1.0, 4.0, 9.0]))
    assert means.n.tolist() == [2, 0, 1]
    np.testing.assert_allclose(means.mean, [(10 + 20 / 4) / 1.25, np.nan, 5.0])
    np.testing.assert_allclose(means.sigma, [1 / np.sqrt(1.25), np.nan, 3.0])


def test_friedel_mates_are_merged_apart_and_together():
    hkl = np.array([[1, 2, 3], [-1, -2, -3], [1, 2, 0]])
    merged = merge(Unmerged.of(hkl, np.array([10.0, 30.0, 7.0]), np.ones(3), CELL, GROUP))
    row = merged.hkl.tolist().index([1, 2, 3])
    centric = merged.hkl.tolist().index([1, 2, 0])
    assert merged.all.mean[row] == 20.0
    assert {merged.plus.mean[row], merged.minus.mean[row]} == {10.0, 30.0}
    assert merged.plus.mean[centric] == 7.0
    assert merged.minus.n[centric] == 0


def test_r_values_by_hand():
    hkl = np.array([[1, 2, 3], [1, 2, 3], [1, -2, -3], [2, 3, 4]])
    data = Unmerged.of(hkl, np.array([10.0, 12.0, 14.0, 100.0]), np.ones(4), CELL, GROUP)
    _, overall = merging_statistics(data, shell_edges(data, 1))
    assert overall.Rmerge[0] == pytest.approx(4 / 36)
    assert overall.Rmeas[0] == pytest.approx(4 / 36 * np.sqrt(3 / 2))
    assert overall.Rpim[0] == pytest.approx(4 / 36 * np.sqrt(1 / 2))
    assert overall.multiplicity[0] == 2.0
    assert overall.mean_I[0] == pytest.approx((12 + 100) / 2)
    assert overall.I_over_sigma[0] == pytest.approx((12 * np.sqrt(3) + 100) / 2)


def test_sigma_tau_agrees_with_random_halves():
    data = simulated(20000, noise=40.0)
    shells, _ = merging_statistics(data, shell_edges(data, 3))
    np.testing.assert_allclose(shells.CC_half, shells.CC_half_sigma_tau, atol=0.06)


def test_sigma_tau_by_hand():
    # Two reflections, means 1 and 3, variances of the means 0.5 each.
    sums = np.array([[2.0], [4.0], [10.0], [1.0]])
    assert sigma_tau_cc(sums)[0] == pytest.approx((2.0 - 0.5) / (2.0 + 0.5))


def test_correlation_is_pearsons():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    sums = np.array([[50.0], [x.sum()], [y.sum()], [x @ x], [y @ y], [x @ y]])
    assert correlation(sums)[0][0] == pytest.approx(np.corrcoef(x, y)[0, 1])


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 7), st.integers(0, 1000))
def test_sums_do_not_depend_on_the_blocks(n_blocks, seed):
    data = simulated(800, seed=seed)
    edges = shell_edges(data, 4)
    whole = ShellSums.chunk(data, edges)
    block_of_group = np.random.default_rng(seed).integers(0, n_blocks, len(data.asu.unique))
    parts = None
    for block in range(n_blocks):
        rows = block_of_group[data.asu.group] == block
        signed = np.where(data.asu.plus[:, None], data.asu.hkl, -data.asu.hkl)[rows]
        part = Unmerged.of(signed, data.intensity[rows], data.variance[rows], CELL, GROUP)
        chunk = ShellSums.chunk(part, edges)
        parts = chunk if parts is None else parts.combine(chunk)
    assert parts is not None
    for name in ("n_obs", "n_unique", "mean", "r_meas", "half", "anomalous_half", "tau"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9, atol=1e-7)


def test_half_sets_are_balanced_seeded_and_local():
    group = np.repeat(np.arange(200), 5)
    serial = pack(np.stack([group, group, group], axis=1))
    half = half_sets(group, serial)
    assert set(np.bincount(group, half).astype(int)) <= {2, 3}
    assert abs(half.mean() - 0.5) < 0.05
    assert not np.array_equal(half, half_sets(group, serial, seed=1))
    some = group >= 100
    assert np.array_equal(half[some], half_sets(group[some], serial[some]))


def test_tables_show_every_shell():
    data = simulated()
    shells, overall = merging_statistics(data, shell_edges(data, 6))
    text = shell_table(shells, overall)
    assert len(text.splitlines()) == 3 + 6 + 1
    assert "CC half" in summary_table(table1(shells, overall))


def test_statistics_of_scaled_data_are_those_dials_prints(tmp_path, dials, data_dir):
    """B5: the table of dials.merge for the same scaled reflections."""
    from mxdask.intensity.cells import median_cell
    from mxdask.intensity.observations import Filters, select_observations
    from mxdask.io.expt import read_expt
    from mxdask.io.refl import read_refl, write_refl

    folder = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled"
    experiments = read_expt(folder / "scaled_30.expt")
    reflections = read_refl(folder / "scaled_30.refl")
    write_refl(tmp_path / "s.refl", reflections)
    log = dials("merge", folder / "scaled_30.expt", tmp_path / "s.refl", "output.html=None", cwd=tmp_path)
    found = select_observations(reflections, "scale", Filters(min_isigi=None))
    crystal = experiments[0].crystal
    data = Unmerged.of(found.hkl, found.intensity, found.variance, median_cell(experiments), crystal.space_group)
    shells, overall = merging_statistics(data, shell_edges(data, 20))
    lines = log[log.index("Merging statistics by resolution bin") :].splitlines()
    rows = [line.split() for line in lines if line[:7].strip().replace(".", "").isdigit()][:21]
    for i, row in enumerate(rows):
        ours = shells.row(i) if i < 20 else overall.row(0)
        shown = [
            f"{ours['d_max']:.2f}", f"{ours['d_min']:.2f}", str(ours["n_obs"]), str(ours["n_unique"]),
            f"{ours['multiplicity']:.2f}", f"{ours['completeness']:.2f}", f"{ours['mean_I']:.1f}",
            f"{ours['I_over_sigma']:.1f}", *(f"{ours[k]:.3f}" for k in ("Rmerge", "Rmeas", "Rpim")),
        ]  # fmt: skip
        assert shown == row[:11]
