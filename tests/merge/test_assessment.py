"""What merging tells beyond statistics, as plain data for the report."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scaled_sets import B_FACTOR, crystals

from mxdask.intensity.merging import merge
from mxdask.merge import assessment


def _assessed(bad: bool = True):
    sets, which = crystals(12, bad=bad, seed=3)
    data = sets.unmerged()
    return assessment.assessment(data, merge(data), sets.sweep, sets.z, sets.names, 200.0), which


def test_bad_crystals_lower_cc_half_and_all_is_plain():
    found, which = _assessed()
    json.dumps(found, allow_nan=False)
    delta = np.array(found["delta_cchalf"]["delta"])
    assert set(np.argsort(delta)[:3]) == set(which.values())
    assert found["delta_cchalf"]["crystals"][0] == "crystal_00"
    assert found["damage"]["rcp"][-1] > 0
    assert found["damage"]["every"] == 1


def test_wilson_and_twinning_of_good_crystals():
    found, _ = _assessed(bad=False)
    assert 5 < found["wilson"]["b"] < B_FACTOR  # these made-up atoms are points: their form factors count as B
    assert found["twinning"]["mean_abs_L"] == pytest.approx(0.5, abs=0.03)
    assert "no twinning" in found["twinning"]["verdict"]


def test_one_crystal_has_nothing_to_be_compared_with():
    sets, _ = crystals(2, bad=False)
    one = sets.select(sets.sweep == 0)
    data = one.unmerged()
    assert assessment.assessment(data, merge(data), one.sweep, one.z, one.names, 200.0)["delta_cchalf"] == {}


def test_of_many_pairs_a_part_tells_the_same(monkeypatch):
    whole, _ = _assessed(bad=False)
    monkeypatch.setattr(assessment, "_MOST_PAIRS", 2000)
    part, _ = _assessed(bad=False)
    assert part["damage"]["every"] > 1
    assert part["damage"]["rcp"][-1] == pytest.approx(whole["damage"]["rcp"][-1], rel=0.2)
