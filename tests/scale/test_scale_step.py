"""The whole step: known scales, crystals in trouble, independence of order and workers, files for DIALS."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from scaled_sweeps import job

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Flow
from mxdask.intensity.observations import select_observations
from mxdask.io.expt import write_expt
from mxdask.io.refl import write_refl
from mxdask.models import ExperimentList
from mxdask.scale.params import Params
from mxdask.scale.step import excluded_images, run
from mxdask.table import Flag, ReflectionTable


def scale(experiments, reflections, params=None, **flow):
    with Flow(flow.pop("scheduler", "sync"), **flow) as runtime:
        return run(experiments, reflections, params or Params(), flow=runtime)


@pytest.fixture(scope="module")
def three():
    return job([{}, {"scale": 2.0, "b": -3.0}, {"scale": 0.02}], n=2500, a=1.3, noise_b=0.03)


@pytest.fixture(scope="module")
def scaled(three):
    return scale(*three)


def test_scales_errors_and_summary(scaled):
    experiments, reflections, summary = scaled
    rows = summary["rows"]
    assert [r["status"] for r in rows] == ["ok"] * 3
    assert rows[1]["scale"] / rows[0]["scale"] == pytest.approx(2.0, rel=0.05)
    assert rows[2]["scale"] / rows[0]["scale"] == pytest.approx(0.02, rel=0.1)
    assert summary["error_model"]["a"] == pytest.approx(1.3, rel=0.1)
    assert summary["error_model"]["b"] == pytest.approx(0.03, rel=0.3)
    assert summary["table1"]["overall"]["CC_half"] > 0.98
    assert len(summary["shells"]["CC_half"]) == 20
    assert len(summary["curves"]) == 3
    json.dumps(summary)
    assert experiments[0].scaling_model["__id__"] == "physical"
    assert len(select_observations(reflections, "scale")) > 7000
    good = reflections.has_flags(Flag.SCALED)
    assert not np.any(reflections.has_flags(Flag.BAD_FOR_SCALING, any=True) & good)


def test_same_bits_for_any_worker_count(three, scaled):
    again = scale(*three, scheduler="threads", n_workers=2)
    for name in ("intensity.scale.value", "intensity.scale.variance", "inverse_scale_factor"):
        assert np.array_equal(scaled[1][name], again[1][name])
    assert scaled[2] == again[2]


def test_scaling_again_gives_the_same(three, scaled):
    anew = scale(scaled[0], scaled[1], Params(overwrite_existing_models=True))
    np.testing.assert_array_equal(anew[1]["inverse_scale_factor"], scaled[1]["inverse_scale_factor"])
    from_old = scale(scaled[0], scaled[1])
    np.testing.assert_allclose(from_old[1]["inverse_scale_factor"], scaled[1]["inverse_scale_factor"], rtol=1e-5)


def test_a_set_that_grows_gives_the_answer_of_all(three, scaled):
    experiments, reflections = three
    two = scale(ExperimentList(experiments[:2]), reflections.select(reflections["id"] < 2))
    grown = ExperimentList([*two[0], experiments[2]])
    rest = reflections.select(reflections["id"] == 2)
    ours, _, summary = scale(grown, ReflectionTable.concat([two[1], rest]))
    full = scaled[0]
    for a, b in zip(ours, full, strict=True):
        for name in ("scale", "decay"):
            np.testing.assert_allclose(
                a.scaling_model[name]["parameters"], b.scaling_model[name]["parameters"], rtol=2e-5, atol=1e-4
            )
    assert summary["rounds"][0]["n_steps"] <= scaled[2]["rounds"][0]["n_steps"]


def test_crystals_in_trouble_are_rows_with_reasons(caplog):
    experiments, reflections = job([{}, {"scale": 1.5}, {"scale": 0.0}, {}], n=1500)
    nothing = reflections.select(reflections["id"] != 3)
    bad = reflections.select(reflections["id"] == 3)
    bad.unset_flags(np.arange(len(bad)), int(Flag.INTEGRATED))
    with caplog.at_level(logging.WARNING):
        out, table, summary = scale(experiments, ReflectionTable.concat([nothing, bad]))
    assert [r["status"] for r in summary["rows"]] == ["ok", "ok", "failed", "failed"]
    assert "σ from zero" in summary["rows"][2]["reason"]
    assert "can be scaled" in summary["rows"][3]["reason"]
    assert out[2].scaling_model is None
    assert np.all(table.has_flags(Flag.EXCLUDED_FOR_SCALING)[table["id"] >= 2])
    assert len(table) == len(reflections)
    assert "x2" in caplog.text


def _spoilt(reflections, crystal, how):
    """A copy in which the numbers of one crystal are damaged: intensities by a function, other columns by name."""
    out, own = reflections.copy(), reflections["id"] == crystal
    for name in [how] if isinstance(how, str) else [f"intensity.{k}.value" for k in ("prf", "sum")]:
        values = reflections[name].copy()
        values[own] = np.nan if isinstance(how, str) else how(values[own])
        out[name] = values
    return out


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda v: np.full_like(v, np.nan), "can be scaled"),
        (lambda v: np.full_like(v, np.inf), "can be scaled"),
        (lambda v: v * 1e200, "can be scaled"),
        (lambda v: -np.abs(v), "no signal"),
        (lambda v: np.random.default_rng(0).normal(size=len(v)), "no signal"),
        ("d", "can be scaled"),
        ("xyzobs.px.value", "can be scaled"),
        ("intensity.prf.variance", ""),
    ],
)
def test_damaged_numbers_of_one_crystal_touch_no_other(how, reason):
    experiments, reflections = job([{}, {}, {"scale": 2.0}], n=1500)
    _, table, summary = scale(experiments, _spoilt(reflections, 1, how))
    bad, good = summary["rows"][1], (summary["rows"][0], summary["rows"][2])
    assert reason in bad["reason"]
    assert bad["status"] == ("failed" if reason else "ok")
    assert [r["status"] for r in good] == ["ok", "ok"]
    assert good[1]["scale"] / good[0]["scale"] == pytest.approx(2.0, rel=0.05)
    assert good[0]["n_observations"] > 1400
    assert np.all(np.isfinite(table["intensity.scale.variance"][table["id"] != 1]))


@pytest.mark.parametrize("units", [1e3, 1e6])
def test_a_crystal_in_other_units_leaves_the_others_in(units):
    """XDS' intensities are not counts: one such crystal must not make the others look dark."""
    experiments, reflections = job([{}] * 5, n=1500)
    own = reflections["id"] == 3
    for name in [n for n in reflections if n.startswith("intensity.")]:
        factor = units**2 if name.endswith("variance") else units
        reflections[name] = np.where(own, reflections[name] * factor, reflections[name])
    _, _, summary = scale(experiments, reflections)
    assert [r["status"] for r in summary["rows"]] == ["ok"] * 5
    assert min(r["n_observations"] for r in summary["rows"]) > 1400
    assert summary["rows"][3]["scale"] / summary["rows"][0]["scale"] == pytest.approx(units, rel=0.05)


def test_outliers_are_flagged():
    experiments, reflections = job([{}, {}], n=2500)
    value = reflections["intensity.prf.value"].copy()
    multiple = np.flatnonzero(value > 500)[:5]
    value[multiple] *= 5
    reflections["intensity.prf.value"] = value
    params = Params(reflection_selection={"combine": {"Imid": 0}})
    _, table, _ = scale(experiments, reflections, params)
    assert table.has_flags(Flag.OUTLIER_IN_SCALING)[multiple].sum() >= 4


def test_limits_and_excluded_images(three):
    experiments, reflections = three
    params = Params(cut_data={"d_min": 6.0}, exclude_images=("0:1:25",))
    _, table, _ = scale(experiments, reflections, params)
    used = table.select(table.has_flags(Flag.SCALED))
    assert used["d"].min() > 6.0
    assert used["xyzobs.px.value"][used["id"] == 0, 2].min() >= 25.0
    assert np.all(table.has_flags(Flag.USER_EXCLUDED_IN_SCALING)[table["d"] < 6.0])
    with pytest.raises(ParameterError, match="experiment:first:last"):
        excluded_images(Params(exclude_images=("1-20",)), 3)
    with pytest.raises(ParameterError, match="experiments 0 to 2"):
        excluded_images(Params(exclude_images=("7:1:20",)), 3)


def test_one_crystal_alone():
    _, _, summary = scale(*job([{}], n=4000))
    assert summary["rows"][0]["status"] == "ok"


def test_nothing_to_scale_is_a_clear_error(three):
    with pytest.raises(MxdaskError, match="no reflections"):
        scale(three[0], None)
    reflections = three[1].copy()
    reflections.unset_flags(np.arange(len(reflections)), int(Flag.INTEGRATED))
    with pytest.raises(MxdaskError, match="none of 3 crystals"):
        scale(three[0], reflections)


def test_dials_goes_on_from_our_files(scaled, dials, tmp_path):
    experiments, reflections, _ = scaled
    write_expt(tmp_path / "scaled.expt", experiments, program="mxdask scale", flags="scaled")
    write_refl(tmp_path / "scaled.refl", reflections)
    log = dials("compute_delta_cchalf", "scaled.expt", "scaled.refl", "output.html=None", cwd=tmp_path)
    assert "# Datasets: 3" in log
    assert "ΔCC½" in log


def test_dose_decay_model_is_found_and_dials_reads_it(dials, tmp_path):
    experiments, reflections = job([{}, {"scale": 2.0}], n=2500)
    own = reflections["id"] == 1
    dose = np.exp(-0.2 * reflections["xyzobs.px.value"][:, 2] / reflections["d"] ** 2)
    for kind in ("prf", "sum"):
        for what, power in (("value", 1), ("variance", 2)):
            name = f"intensity.{kind}.{what}"
            reflections[name] = np.where(own, reflections[name] * dose**power, reflections[name])
    experiments, table, _ = scale(experiments, reflections, Params(model="dose_decay"))
    first, second = (e.scaling_model["decay"]["parameters"][0] for e in experiments)
    assert second - first == pytest.approx(-0.2, rel=0.1)
    write_expt(tmp_path / "scaled.expt", experiments, program="mxdask scale", flags="scaled")
    write_refl(tmp_path / "scaled.refl", table)
    dials("merge", "scaled.expt", "scaled.refl", "output.html=None", cwd=tmp_path)


def test_a_free_set_is_held_back(three):
    _, _, summary = scale(*three, Params(scaling_options={"use_free_set": True, "free_set_percentage": 20}))
    work, free = summary["free_set"]["work"], summary["free_set"]["free"]
    assert free["n_observations"] == pytest.approx(0.25 * work["n_observations"], rel=0.2)
    assert free["Rmeas"] == pytest.approx(work["Rmeas"], rel=0.2)
    assert summary["rounds"][0]["n_observations"] <= work["n_observations"] * 1.01
