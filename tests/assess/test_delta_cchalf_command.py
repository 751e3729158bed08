"""compute_delta_cchalf: what it finds, what it writes."""

from __future__ import annotations

import numpy as np
import pytest
from scaled_sets import crystals

from mxdask.assess import delta_cchalf
from mxdask.assess.delta_cchalf import Params, judge, log_text, removed_sweeps, table_text
from mxdask.assess.delta_pictures import delta_page
from mxdask.errors import MxdaskError
from mxdask.intensity.image_groups import group_images, removable


def params(**values: object) -> Params:
    return Params.model_validate(values)


def test_a_damaged_a_weak_and_another_crystal_form_are_found() -> None:
    data, bad = crystals(25)
    found = judge(data, params(spread="mad"))
    assert set(removed_sweeps(found)) >= set(bad.values())
    assert set(delta_cchalf.order(found)[:3].tolist()) == set(bad.values())


def test_each_alone_is_found_with_the_standard_deviation() -> None:
    data, bad = crystals(30)
    for kind, sweep in bad.items():
        keep = (data.sweep < 30) | (data.sweep == sweep)
        assert removed_sweeps(judge(data.select(keep), params(stdcutoff=3.0))) == [sweep], kind


def test_good_crystals_stay() -> None:
    data, _ = crystals(30, bad=False)
    assert removed_sweeps(judge(data, params())) == []


def test_of_few_crystals_none_can_be_far_enough_out_and_the_log_says_so() -> None:
    data, _ = crystals(5)
    text = log_text(judge(data, params()))
    assert "nothing is ever removed" in text and "spread=mad" in text
    assert "nothing is ever removed" not in log_text(judge(data, params(spread="mad")))


def test_one_data_set_needs_image_groups() -> None:
    data, _ = crystals(1, bad=False)
    with pytest.raises(MxdaskError, match="mode=image_group"):
        judge(data, params())
    found = (
        judge(data.select(np.ones(len(data), bool)), params(mode="image_group", group_size=5, nbins=1))
        if (np.unique(data.hkl, axis=0).shape[0] < len(data))
        else None
    )
    assert found is None or len(found.groups) == 4


def test_bad_images_at_the_end_of_a_sweep_are_taken_off() -> None:
    data, _ = crystals(12, bad=False)
    rng = np.random.default_rng(3)
    intensity = data.intensity.copy()
    late = (data.sweep == 4) & (data.image > 15)
    intensity[late] = rng.permutation(intensity[late]) * 3
    found = judge(
        type(data)(data.hkl, intensity, data.variance, data.sweep, data.z, data.cell, data.space_group, data.names),
        params(mode="image_group", group_size=5),
    )
    gone = np.flatnonzero(found.removed)
    assert [(found.groups.sweep[g], found.groups.first[g], found.groups.last[g]) for g in gone] == [(4, 16, 20)]
    assert found.name(int(gone[0])) == "crystal_04 images 16–20"


def test_groups_of_images_and_what_is_left_over() -> None:
    sweep, image = np.array([0, 0, 0, 0, 2, 2]), np.array([3, 12, 13, 27, 1, 4])
    groups = group_images(sweep, image, 10)
    assert groups.group.tolist() == [0, 0, 1, 1, 2, 2]
    assert groups.first.tolist() == [3, 13, 1] and groups.last.tolist() == [12, 27, 4]
    assert groups.sweep.tolist() == [0, 0, 2]


def test_only_ends_can_be_removed_one_after_the_other() -> None:
    groups = group_images(np.zeros(60, int), np.arange(1, 61), 10)
    assert removable(groups, np.array([1, 1, 0, 1, 0, 1])).tolist() == [True, True, False, False, False, True]
    assert removable(groups, np.ones(6)).all()


def test_table_and_page() -> None:
    data, _ = crystals(6)
    found = judge(data, params())
    lines = table_text(found).splitlines()
    values = [float(line.split()[1]) for line in lines]
    assert len(lines) == 9 and values == sorted(values)
    page = delta_page(found)
    assert page.count("<circle") == 9 and "<script" not in page and "http" not in page.replace("http-equiv", "")
