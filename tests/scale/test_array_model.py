"""The array model's grids, and what they find."""

from __future__ import annotations

import numpy as np
import pytest
from scaled_sweeps import job, sweep

from mxdask.flow import Flow
from mxdask.params import parse
from mxdask.scale.array_model import ArrayGrid
from mxdask.scale.models import ScalingModel, choose_model
from mxdask.scale.params import Params
from mxdask.scale.smoother import Smoother
from mxdask.scale.step import run


def grid(n_absorption: int = 2) -> ArrayGrid:
    rng = np.random.default_rng(0)
    d = 1.0 / np.sqrt(rng.uniform(0.01, 0.3, 500))
    return ArrayGrid.of(Smoother.over(60, 1.0, 20.0), 4, n_absorption, d, rng.uniform(0, 2000, (500, 2)))


def test_weights_of_a_point_add_up_to_one() -> None:
    rng = np.random.default_rng(1)
    made = grid()
    d, frame, xy = 1.0 / np.sqrt(rng.uniform(0.01, 0.3, 200)), rng.uniform(0, 60, 200), rng.uniform(0, 2000, (200, 2))
    for weight, shape in (
        (made.decay_weights(frame, d), made.decay_shape),
        (made.absorption_weights(frame, xy), made.absorption_shape),
    ):
        assert weight.shape == (200, np.prod(shape))
        np.testing.assert_allclose(weight.sum(axis=1), 1.0)
        assert (weight > 0).sum(axis=1).max() <= 3 ** len(shape)


def test_smoothing_is_that_of_dials() -> None:
    """SmoothScaleComponent2D and 3D of DIALS 3.12 with 5 points an axis, parameters 1 + 0.1·sin 3i."""
    axis = Smoother.spanning(3.0, 3)
    x, y, z = np.array([0.0, 0.7, 1.9, 3.0]), np.array([0.0, 2.2, 0.4, 3.0]), np.array([3.0, 1.5, 0.0, 2.6])
    parameters = 1.0 + 0.1 * np.sin(3.0 * np.arange(25))
    found = ArrayGrid(axis, axis, 1.0).decay_weights(y, 1.0 / np.sqrt(x + 1.0)) @ parameters
    np.testing.assert_allclose(found, [1.00101051504, 0.98855670353, 1.00863187613, 1.00041035638], atol=1e-10)
    solid = ArrayGrid(axis, axis, 1.0, axis, axis)
    parameters = 1.0 + 0.1 * np.sin(3.0 * np.arange(125))
    found = solid.absorption_weights(z, np.stack([x, y], axis=1)) @ parameters
    np.testing.assert_allclose(found, [1.00233015893, 1.00570288073, 1.00990833852, 0.99789650925], atol=1e-10)


def test_file_and_back() -> None:
    experiment = sweep("x", 600)
    rng = np.random.default_rng(2)
    d, xy = rng.uniform(2, 20, 300), rng.uniform(0, 2000, (300, 2))
    model = choose_model(experiment, parse(Params, ["model=array"]), d, xy)
    assert model.kind == "array"
    assert model.sizes == (12 * 5, 0, 5 * 5 * 5)
    parameters = model.start() + rng.uniform(0.0, 0.1, model.n_parameters)
    out = model.to_dict(experiment, parameters, np.zeros(model.n_parameters), {})
    assert out["configuration_parameters"]["corrections"] == ["decay", "absorption"]
    assert np.mean(out["absorption"]["parameters"]) == pytest.approx(1.05, abs=0.02)
    _, back = ScalingModel.from_dict(out, model)
    np.testing.assert_allclose(back, parameters)


def test_stills_get_another_model() -> None:
    assert choose_model(sweep("x", 1, 0.0), parse(Params, ["model=array"])).kind == "KB"


def test_what_depends_on_place_and_time_is_found() -> None:
    experiments, reflections = job([{}, {"scale": 0.6, "b": -4.0}], n=4000, n_images=100)
    x, z = reflections["xyzobs.px.value"][:, 0], reflections["xyzobs.px.value"][:, 2]
    factor = np.exp(0.5 * z / 100.0 / reflections["d"] ** 2 * 4.0) * (1.0 + 0.1 * x / 2000.0)
    for kind in ("prf", "sum"):
        reflections[f"intensity.{kind}.value"] = reflections[f"intensity.{kind}.value"] * factor
        reflections[f"intensity.{kind}.variance"] = reflections[f"intensity.{kind}.variance"] * factor**2
    with Flow("sync") as flow:
        _, table, summary = run(
            experiments, reflections, parse(Params, ["model=array", "array.decay_interval=3"]), flow=flow
        )
    assert all(row["model"] == "array" for row in summary["rows"])
    truth = np.array([1.0, 0.6])[table["id"]] * np.exp(np.array([0.0, -4.0])[table["id"]] / (2 * table["d"] ** 2))
    ratio = np.log(table["inverse_scale_factor"] / (truth * factor))
    assert np.std(ratio) < 0.03
    assert np.std(np.log(truth * factor)) > 0.2
