"""Commands predict and create_profile_model."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.cli import main
from mxdask.errors import MxdaskError
from mxdask.geometry.predict_all import predict_all
from mxdask.integrate.predict_params import Params
from mxdask.integrate.predictions import predict
from mxdask.integrate.profile_model import ProfileModel
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.refl import read_refl, write_refl
from mxdask.models import ExperimentList
from mxdask.params import parse


def test_predictions_are_those_of_integration(sweep) -> None:
    experiment = sweep.experiment.evolve(profile=ProfileModel(np.deg2rad(0.06), np.deg2rad(0.1)).to_dict())
    table = predict(ExperimentList([experiment]), Params())
    inside = predict_all(experiment, padding=0.0)
    assert np.array_equal(table["xyzcal.px"], inside.xyz_px) and table.identifiers == {0: "synthetic"}
    assert np.all(table["partiality"] > 0.4) and np.all(table["bbox"][:, 4] <= table["xyzcal.px"][:, 2])
    more = predict(ExperimentList([experiment]), parse(Params, ["buffer_size=2", "d_min=4"]))
    z = more["xyzcal.px"][:, 2]
    assert z.min() < 0 and z.max() > 30 and z.min() >= -2 and z.max() <= 32 and more["d"].min() >= 4
    assert "bbox" not in predict(ExperimentList([sweep.experiment]), Params())
    with pytest.raises(MxdaskError, match="no reflection is predicted on the detector"):
        predict(ExperimentList([sweep.experiment]), parse(Params, ["d_min=1000"]))


def test_commands_write_their_files(sweep, tmp_path) -> None:
    write_expt(tmp_path / "refined.expt", ExperimentList([sweep.experiment]))
    write_refl(tmp_path / "refined.refl", sweep.spots)
    out = ["--output-dir", str(tmp_path), "--scheduler", "sync"]
    files = [str(tmp_path / "refined.expt"), str(tmp_path / "refined.refl")]
    assert main(["create_profile_model", *files, *out]) == 0
    model = ProfileModel.from_dict(read_expt(tmp_path / "models_with_profiles.expt")[0].profile)
    assert np.rad2deg(model.sigma_b) == pytest.approx(0.06, rel=0.2)
    assert np.rad2deg(model.sigma_m) == pytest.approx(0.1, rel=0.15)
    assert main(["predict", str(tmp_path / "models_with_profiles.expt"), *out]) == 0
    assert "bbox" in read_refl(tmp_path / "predicted.refl")


def test_profile_models_of_files() -> None:
    varying = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": [0.03, 0.04], "sigma_m": [0.1, 0.1]}
    model = ProfileModel.from_dict(varying)
    assert np.rad2deg(model.sigma_b) == pytest.approx(np.sqrt(0.00125)) and model.n_sigma == 3.0
    assert model.to_dict()["sigma_b"] == pytest.approx([0.03, 0.04])
    assert np.rad2deg(model.widths_at(np.array([5.5, 6.5, 9.0]), 5)[0]) == pytest.approx([0.03, 0.04, 0.04])
    with pytest.raises(MxdaskError, match="ellipsoid"):
        ProfileModel.from_dict({"__id__": "ellipsoid"})
    for wrong in ({"sigma_m": [0.1]}, {"sigma_b": [0.03, -0.04]}, {"sigma_m": [0.1, float("nan")]}, {"n_sigma": 0}):
        with pytest.raises(MxdaskError, match="not positive numbers, as many"):
            ProfileModel.from_dict(varying | wrong)
    with pytest.raises(MxdaskError, match="needs sigma_b, sigma_m and n_sigma"):
        ProfileModel.from_dict({"__id__": "gaussian_rs", "sigma_b": "x"})
