"""Filters, corrections and partials of reflections."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.errors import MxdaskError
from mxdask.intensity.observations import (
    Filters,
    best_choice,
    combine_intensities,
    combine_partials,
    i_mid_candidates,
    select_observations,
)
from mxdask.table import Flag, ReflectionTable

BOTH = int(Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM)


def integrated(n: int = 4, **columns: object) -> ReflectionTable:
    base = {
        "id": np.zeros(n), "miller_index": np.arange(3 * n).reshape(n, 3), "flags": np.full(n, BOTH),
        "d": np.linspace(4.0, 2.0, n), "partiality": np.ones(n), "partial_id": np.arange(n),
        "lp": np.full(n, 0.5), "qe": np.full(n, 0.8), "xyzobs.px.value": np.zeros((n, 3)),
        "intensity.prf.value": np.full(n, 80.0), "intensity.prf.variance": np.full(n, 64.0),
        "intensity.sum.value": np.full(n, 100.0), "intensity.sum.variance": np.full(n, 100.0),
    }  # fmt: skip
    return ReflectionTable(base | columns)


def test_lp_qe_and_partiality_are_applied_to_each_kind():
    table = integrated(partiality=np.full(4, 0.5))
    found = select_observations(table, "prf+sum")
    np.testing.assert_allclose(found.intensity, 80 * 0.5 / 0.8)
    np.testing.assert_allclose(found.variance, 64 * (0.5 / 0.8) ** 2)
    np.testing.assert_allclose(found.sum_intensity, 100 * 0.5 / 0.8 / 0.5)
    np.testing.assert_allclose(found.sum_variance, 100 * (0.5 / 0.8 / 0.5) ** 2)


def test_each_filter_takes_out_its_row():
    n = 9
    table = integrated(n, d=np.linspace(5.0, 1.0, n))
    flags, partiality = table["flags"].copy(), table["partiality"].copy()
    variance, value, identity = (table[k].copy() for k in ("intensity.sum.variance", "intensity.sum.value", "id"))
    flags[1], partiality[2], variance[3], value[4], identity[5] = 0, 0.3, 0.0, -60.0, -1
    flags[6] |= int(Flag.IN_POWDER_RING)
    table["flags"], table["partiality"], table["id"] = flags, partiality, identity
    table["intensity.sum.variance"], table["intensity.sum.value"] = variance, value
    rows = select_observations(table, "sum", Filters(exclude_ice_rings=True)).row
    assert rows.tolist() == [0, 7, 8]
    assert select_observations(table, "sum", Filters(d_min=2.0, min_isigi=None)).row.tolist() == [0, 4]


def test_pieces_are_joined_by_kind():
    table = integrated(
        3, partiality=[0.6, 0.3, 1.0], partial_id=[7, 7, 8],
        **{"intensity.prf.value": [10.0, 20.0, 5.0], "intensity.prf.variance": [4.0, 4.0, 4.0]},
    )  # fmt: skip
    joined, rows = combine_partials(table, ["prf", "sum"])
    assert rows.tolist() == [0, 2]
    assert joined["partiality"][0] == pytest.approx(0.9)
    assert joined["intensity.sum.value"][0] == 200.0
    assert joined["intensity.sum.variance"][0] == 200.0
    weights = np.array([100.0, 400.0]) / 4.0
    assert joined["intensity.prf.value"][0] == pytest.approx(weights @ [10.0, 20.0] / weights.sum())
    # The summed pieces are divided by the fraction of all of them together.
    whole = select_observations(table, "sum")
    assert whole.intensity[0] == pytest.approx(200.0 * 0.5 / 0.8 / 0.9)


def test_scaled_intensities_are_divided_and_bad_ones_left_out():
    table = integrated(3)
    table["intensity.scale.value"], table["intensity.scale.variance"] = [10.0, 10.0, 10.0], [4.0, 4.0, 4.0]
    table["inverse_scale_factor"] = [2.0, 2.0, 2.0]
    table["flags"] = np.array([BOTH, BOTH | int(Flag.OUTLIER_IN_SCALING), BOTH])
    assert best_choice(table) == "scale"
    found = select_observations(table, "scale")
    assert found.row.tolist() == [0, 2]
    np.testing.assert_allclose(found.intensity, 5.0)
    np.testing.assert_allclose(found.variance, 1.0)


def test_old_files_call_the_efficiency_dqe():
    table = integrated()
    new = select_observations(table, "sum").intensity
    table["dqe"] = table["qe"]
    del table["qe"]
    assert np.array_equal(select_observations(table, "sum").intensity, new)


def test_missing_intensities_name_the_step_to_run():
    with pytest.raises(MxdaskError, match="mxdask scale"):
        select_observations(integrated(), "scale")


def test_combination_goes_from_profile_fitted_to_summed():
    prf, summed = (np.array([10.0, 1000.0]), np.ones(2)), (np.array([12.0, 900.0]), np.full(2, 2.0))
    raw = np.array([0.0, 1e6])
    assert combine_intensities(prf, summed, raw, 0.0)[0].tolist() == [10.0, 1000.0]
    assert combine_intensities(prf, summed, raw, 1.0)[0].tolist() == [12.0, 900.0]
    np.testing.assert_allclose(combine_intensities(prf, summed, raw, 100.0)[0], [10.0, 900.0], rtol=1e-9)


def test_candidates_fall_from_a_tenth_of_the_largest():
    assert i_mid_candidates(np.array([0.0, 100.0, 10000.0])) == pytest.approx([0, 1, 10100 / 3, 1000.0])
    assert i_mid_candidates(np.array([1.0, 2.0]))[2] == 10.0
