"""Laue groups of generated crystals, and space groups from absences."""

from __future__ import annotations

import json

import gemmi
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import cauchy
from synthetic import Fake, fake_crystals

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.intensity.absence_tables import absence_report
from mxdask.intensity.absences import score_space_groups, screw_axes
from mxdask.intensity.asu import pack
from mxdask.intensity.merged_set import MergedSet
from mxdask.intensity.normalisation import expected_intensity
from mxdask.intensity.resolution_limit import resolution_limit
from mxdask.intensity.symmetry_scores import score_operator
from mxdask.models.experiment import ExperimentList
from mxdask.symmetry.laue_group import sigma_factor
from mxdask.symmetry.params import Params
from mxdask.symmetry.prepare import outliers
from mxdask.symmetry.step import run
from mxdask.table import ReflectionTable


def solve(fake: Fake, **values: object) -> tuple[ExperimentList, ReflectionTable, dict]:
    with Flow("sync") as flow:
        return run(fake.experiments, fake.reflections, Params(**values), flow=flow)


@pytest.mark.parametrize(
    ("space_group", "cell", "patterson"),
    [
        ("I 2 3", (78, 78, 78, 90, 90, 90), "I m -3"),
        ("P 4 2 2", (60, 60, 37, 90, 90, 90), "P 4/m m m"),
        ("P 4", (60, 60, 37, 90, 90, 90), "P 4/m"),
        ("P 2 2 2", (60, 60, 37, 90, 90, 90), "P m m m"),
        ("C 1 2 1", (60, 45, 37, 90, 107, 90), "C 1 2/m 1"),
        ("R 3:H", (60, 60, 130, 90, 90, 120), "R -3 :H"),
        ("P 1", (40, 50, 60, 90, 90, 90), "P -1"),
    ],
)
def test_laue_group_of_one_crystal(space_group: str, cell: tuple[float, ...], patterson: str) -> None:
    fake = fake_crystals(1, cell=cell, space_group=space_group, wedge=60.0, d_min=3.5, noise=0.1, seed=3)
    experiments, _, summary = solve(fake, best_monoclinic_beta=False)
    assert summary["patterson_group"] == patterson
    assert summary["probability"] > 0.6
    crystal = experiments[0].crystal
    assert crystal is not None
    assert np.sort(crystal.cell) == pytest.approx(np.sort(cell), abs=1e-6)
    json.dumps(summary)


def test_result_is_the_same_twice_and_with_workers() -> None:
    fake = fake_crystals(1, wedge=40.0, seed=4)
    with Flow("threads", n_workers=2) as flow:
        again = run(fake.experiments, fake.reflections, Params(), flow=flow)[2]
    assert json.dumps(solve(fake)[2]) == json.dumps(again)


def test_given_space_group_and_change_of_basis() -> None:
    fake = fake_crystals(1, cell=(60, 60, 37, 90, 90, 90), space_group="P 4 2 2", wedge=30.0)
    experiments, table, summary = solve(fake, space_group="P43212")
    assert summary["space_group"] == "P 43 21 2"
    assert experiments[0].crystal.cell == pytest.approx([60, 60, 37, 90, 90, 90])  # type: ignore[union-attr]
    inverse = 1 / np.sqrt(np.sum((table["miller_index"] / [60, 60, 37]) ** 2, axis=1))
    np.testing.assert_allclose(inverse, table["d"], rtol=1e-6)
    same = solve(fake, space_group="P1", change_of_basis_op="a,b,c")[1]
    np.testing.assert_array_equal(same["miller_index"], fake.reflections["miller_index"])


def test_bad_input_says_what_to_do() -> None:
    fake = fake_crystals(1, wedge=10.0)
    with pytest.raises(ParameterError, match="does not fit"):
        solve(fake, space_group="P6122")
    with pytest.raises(ParameterError, match="needs space_group"):
        solve(fake, change_of_basis_op="b,c,a")
    with Flow("sync") as flow, pytest.raises(MxdaskError, match="no reflections"):
        run(fake.experiments, None, Params(), flow=flow)


def axial_data(space_group: str, plain: str, weak: float = 0.0) -> MergedSet:
    """Reflections along the axes, absent ones as the group has it."""
    rng = np.random.default_rng(0)
    hkl = np.array([np.eye(3, dtype=int)[k] * n for k in range(3) for n in range(1, 25)])
    kept = ~np.asarray(gemmi.SpaceGroup(plain).operations().systematic_absences(hkl), dtype=bool)
    hkl = hkl[kept]
    absent = np.asarray(gemmi.SpaceGroup(space_group).operations().systematic_absences(hkl), dtype=bool)
    value = np.where(absent, weak, rng.exponential(100.0, len(hkl)) + 20) + rng.normal(size=len(hkl))
    order = np.argsort(pack(hkl))
    return MergedSet(pack(hkl)[order], value[order], np.ones(len(hkl)))


@pytest.mark.parametrize(
    ("space_group", "plain", "found"),
    [
        ("P 21 21 21", "P 2 2 2", "P 21 21 21"),
        ("P 21 2 21", "P 2 2 2", "P 21 2 21"),
        ("P 2 2 2", "P 2 2 2", "P 2 2 2"),
        ("P 43 21 2", "P 4 2 2", "P 41 21 2"),
        ("P 42 2 2", "P 4 2 2", "P 42 2 2"),
        ("P 65 2 2", "P 6 2 2", "P 61 2 2"),
        ("P 63", "P 6", "P 63"),
        ("P 62", "P 6", "P 62"),
        ("P 32 2 1", "P 3 2 1", "P 31 2 1"),
        ("I 41 2 2", "I 4 2 2", "I 41 2 2"),
        ("I 21 3", "I 2 3", "I 2 3"),
        ("P 21 3", "P 2 3", "P 21 3"),
        ("F 41 3 2", "F 4 3 2", "F 41 3 2"),
        ("C 2 2 21", "C 2 2 2", "C 2 2 21"),
        ("P 1 21 1", "P 1 2 1", "P 1 21 1"),
    ],
)
def test_space_group_from_absences(space_group: str, plain: str, found: str) -> None:
    _, candidates = score_space_groups(gemmi.SpaceGroup(plain), axial_data(space_group, plain))
    assert candidates[0].groups[0].hm == found
    assert gemmi.SpaceGroup(space_group).number in [g.number for g in candidates[0].groups]


def test_one_outlier_among_absences_is_forgiven_many_are_not() -> None:
    plain = gemmi.SpaceGroup("P 1 2 1")
    data = axial_data("P 1 21 1", "P 1 2 1")
    along = np.flatnonzero((data.hkl[:, 0] == 0) & (data.hkl[:, 2] == 0) & (np.abs(data.hkl[:, 1]) % 2 == 1))
    value = data.intensity.copy()
    value[along[0]] = 40.0
    axes, _ = score_space_groups(plain, MergedSet(data.key, value, data.sigma))
    assert axes[0].score > 0.99
    value[along] = 30.0
    axes, _ = score_space_groups(plain, MergedSet(data.key, value, data.sigma))
    assert axes[0].score < 0.01


def test_an_axis_without_reflections_decides_nothing_and_is_named() -> None:
    """As in a short wedge: nothing along c, so that 4, 4₂ and 4₁ are equally likely; along a all is there."""
    plain = gemmi.SpaceGroup("P 4 2 2")
    data = axial_data("P 43 21 2", "P 4 2 2")
    data = data.select((data.hkl[:, :2] != 0).any(axis=1))
    axes, candidates = score_space_groups(plain, data)
    assert {a.axis.name for a in axes if not a.tested} == {"42c", "41c"}
    best = [c for c in candidates if c.score > 0.99]
    assert {g.number for c in best for g in c.groups} == {90, 94, 92, 96}
    assert best[0].groups[0].hm == "P 4 21 2"
    told = absence_report(axes, candidates, best[0].groups[0])
    assert "Could not be tested, for want of reflections along the axis: 42c, 41c" in told
    assert "P 4 21 2, P 42 21 2, P 41 21 2 and P 43 21 2 apart" in told


def test_an_axis_seen_only_where_it_should_be_absent_is_disproved() -> None:
    data = axial_data("P 1 2 1", "P 1 2 1")
    axial = (data.hkl[:, 0] == 0) & (data.hkl[:, 2] == 0)
    axes, candidates = score_space_groups(
        gemmi.SpaceGroup("P 1 2 1"), data.select(~axial | (np.abs(data.hkl[:, 1]) % 2 == 1))
    )
    assert axes[0].tested
    assert axes[0].score == 0
    assert candidates[0].groups[0].hm == "P 1 2 1"
    assert candidates[1].score == 0


def test_names_of_screw_axes() -> None:
    assert {a.name for a in screw_axes(gemmi.SpaceGroup("P 4 2 2"))} == {"21a", "42c", "41c"}
    assert {a.name for a in screw_axes(gemmi.SpaceGroup("P 6 2 2"))} == {"63c", "62c", "61c"}
    assert {a.name for a in screw_axes(gemmi.SpaceGroup("P 3"))} == {"31c"}


@pytest.mark.parametrize(("cc", "sigma", "expected"), [(0.95, 0.1, 0.99), (0.3, 0.1, 1.0), (-0.5, 0.3, 0.8)])
def test_operator_likelihood_by_numerical_integration(cc: float, sigma: float, expected: float) -> None:
    def cut(location: float) -> float:
        area = cauchy.cdf(1, location, sigma) - cauchy.cdf(-1, location, sigma)
        return float(cauchy.pdf(cc, location, sigma) / area)

    absent = quad(lambda m: cut(m) * np.sqrt(1 - m * m), 0, 1)[0] / quad(lambda m: np.sqrt(1 - m * m), 0, 1)[0]
    score = score_operator(np.eye(3, dtype=int), cc, 100, sigma, expected)
    assert score.p_present == pytest.approx(cut(expected), rel=1e-9)
    assert score.p_absent == pytest.approx(absent, rel=1e-6)


def test_scatter_of_correlations_falls_with_the_root_of_their_number() -> None:
    rng = np.random.default_rng(0)
    assert sigma_factor(rng.normal(size=5000), rng.normal(size=5000), rng) == pytest.approx(1.0, abs=0.1)
    assert sigma_factor(np.zeros(20), np.zeros(20), rng) == 0.0


def test_outliers_need_two_witnesses() -> None:
    key = np.array([1, 1, 1, 2, 2, 3])
    value = np.array([10.0, 11.0, 200.0, 5.0, 500.0, 7.0])
    flagged = outliers(key, value, np.ones(6), 12.0)
    assert flagged[2]
    assert not flagged[3:].any()


@pytest.mark.parametrize("method", ["quasi", "kernel", "ml_iso", "ml_aniso"])
def test_normalised_intensities_have_mean_one_at_every_resolution(method: str) -> None:
    rng = np.random.default_rng(5)
    hkl = rng.integers(-20, 21, (6000, 3))
    hkl = hkl[np.any(hkl != 0, axis=1)]
    reciprocal = np.diag([1 / 50, 1 / 60, 1 / 70])
    q = hkl @ reciprocal.T
    s = np.einsum("ni,ni->n", q, q)
    tilt = 0.0 if method != "ml_aniso" else 15.0
    true = 500 * np.exp(-12 * s - tilt * (q[:, 0] ** 2 - q[:, 2] ** 2))
    value = rng.exponential(true)
    level = expected_intensity(method, value, 0.05 * true, hkl, reciprocal)  # type: ignore[arg-type]
    shell = np.argsort(np.argsort(s)) * 8 // len(s)
    ratio = [float(np.mean((value / level)[shell == k])) for k in range(8)]
    assert ratio == pytest.approx([1.0] * 8, abs=0.12)
    if method == "ml_aniso":
        assert np.corrcoef(np.log(level), np.log(true))[0, 1] > 0.99


def test_resolution_limit_where_signal_falls() -> None:
    rng = np.random.default_rng(2)
    s = np.sort(rng.uniform(0.001, 0.25, 4000))
    true = 20.0 * np.exp(-14 * s)  # I/σ = 4 at s = ln(5)/14
    limit, by = resolution_limit(
        np.arange(4000), rng.exponential(true), np.ones(4000), s, min_i_mean_over_sigma_mean=4.0, min_cc_half=None
    )
    assert limit == pytest.approx(1 / np.sqrt(np.log(5) / 14), rel=0.06)
    assert by["cc_half"] is None
