"""Filtering by ΔCC½: what is wrong goes, at the ends only, within limits."""

from __future__ import annotations

import json

import numpy as np
from scaled_sweeps import job, truth

from mxdask.flow import Flow
from mxdask.scale.filtering import at_ends
from mxdask.scale.params import Params
from mxdask.scale.step import run
from mxdask.table import Flag


def set_with_a_stranger(n_crystals: int = 12, bad: int = 5, frames: tuple[float, float] = (0.0, 50.0)):
    """Sweeps of one crystal form; of one of them, some images show another one's intensities."""
    experiments, reflections = job([{}] * n_crystals, n=1200)
    hkl, z = reflections["miller_index"], reflections["xyzobs.px.value"][:, 2]
    wrong = np.flatnonzero((reflections["id"] == bad) & (z >= frames[0]) & (z < frames[1]))
    for kind in ("prf", "sum"):
        value = reflections[f"intensity.{kind}.value"].copy()
        value[wrong] = truth(hkl[wrong] + 20)
        reflections[f"intensity.{kind}.value"] = value
    return experiments, reflections


def filtered(experiments, reflections, **settings):
    params = Params(filtering={"method": "deltacchalf", "deltacchalf": settings}, outlier={"outlier_rejection": "none"})
    with Flow("sync") as flow:
        return run(experiments, reflections, params, flow=flow)


def test_a_crystal_of_another_kind_is_taken_out():
    experiments, table, summary = filtered(*set_with_a_stranger(), stdcutoff=3.0)
    assert [r["status"] for r in summary["rows"]].count("failed") == 1
    assert "ΔCC½" in summary["rows"][5]["reason"]
    assert summary["filtering"]["cycles"][0]["removed"][0]["sweep"] == experiments[5].name
    assert experiments[5].scaling_model is None
    assert not np.any(table.has_flags(Flag.SCALED)[table["id"] == 5])
    json.dumps(summary)


def test_bad_crystals_do_not_hide_each_other():
    experiments, reflections = set_with_a_stranger()
    _, _, summary = filtered(experiments, reflections, stdcutoff=8.0, max_cycles=1, zcutoff=None)
    assert summary["filtering"]["cycles"][0]["removed"] == []
    _, _, summary = filtered(experiments, reflections, stdcutoff=8.0, max_cycles=1)
    assert [r["crystal"] for r in summary["filtering"]["cycles"][0]["removed"]] == [5]
    _, _, summary = filtered(experiments, reflections, stdcutoff=8.0, max_cycles=1, robust=True)
    assert [r["crystal"] for r in summary["filtering"]["cycles"][0]["removed"]] == [5]


def test_images_go_at_the_ends_only():
    experiments, reflections = set_with_a_stranger(frames=(40.0, 50.0))
    _, table, summary = filtered(experiments, reflections, mode="image_group", group_size=10, stdcutoff=5.0)
    removed = [r for c in summary["filtering"]["cycles"] for r in c["removed"]]
    assert [(r["crystal"], r["first"], r["last"]) for r in removed] == [(5, 41, 50)]
    late = (table["id"] == 5) & (table["xyzobs.px.value"][:, 2] >= 40)
    assert not np.any(table.has_flags(Flag.SCALED)[late])
    _, _, summary = filtered(*set_with_a_stranger(frames=(20.0, 30.0)), mode="image_group", stdcutoff=5.0)
    assert summary["filtering"]["cycles"][0]["removed"] == []


def test_no_more_goes_than_allowed():
    _, _, summary = filtered(*set_with_a_stranger(), stdcutoff=3.0, max_percent_removed=2.0)
    assert all(r["status"] == "ok" for r in summary["rows"])
    assert "limit" in summary["filtering"]["reason"]


def test_what_completes_the_data_stays():
    experiments, reflections = set_with_a_stranger()
    alone = np.abs(reflections["miller_index"]).max(axis=1) == 10
    reflections = reflections.select(~alone | (reflections["id"] == 5))
    _, _, summary = filtered(experiments, reflections, stdcutoff=3.0)
    assert summary["rows"][5]["status"] == "failed"
    _, _, summary = filtered(experiments, reflections, stdcutoff=3.0, min_completeness=95.0)
    assert summary["rows"][5]["status"] == "ok"


def test_ends_of_what_is_left():
    crystal = np.array([0, 0, 0, 0, 1, 2, 2])
    alive = np.array([False, True, True, True, True, True, False])
    assert at_ends(crystal, alive).tolist() == [False, True, False, True, True, True, False]
