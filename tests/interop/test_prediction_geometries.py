"""Predictions and boxes of unusual experiments are those of dials.predict: all in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mxdask.integrate.predict_params import Params
from mxdask.integrate.predictions import predict
from mxdask.integrate.profile_model import ProfileModel
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.refl import read_refl
from mxdask.models import Crystal, Experiment, ExperimentList, Goniometer, Scan, rotation_matrix

pytestmark = [pytest.mark.dials, pytest.mark.data, pytest.mark.slow]
Dials = Callable[..., str]

PROFILE = ProfileModel(np.deg2rad(0.05), np.deg2rad(0.08)).to_dict()


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, data_dir: Path, dials: Dials) -> dict[str, tuple]:
    """For every geometry our table and DIALS'."""
    folder = tmp_path_factory.mktemp("geometries")
    dials("import", *sorted((data_dir / "l_cysteine").glob("l-cyst_02*.cbf.gz")), cwd=folder)
    sweep = read_expt(folder / "imported.expt")[0]
    dials("import", data_dir / "formats/DLS_I23_P12M_thau_00001.cbf.gz", "output.experiments=i23.expt", cwd=folder)
    barrel = read_expt(folder / "i23.expt")[0]
    turn = rotation_matrix([1, 2, 3], 0.7)
    crystal = Crystal((turn @ np.diag([31.0, 42.0, 57.0])).T, " P 2ac 2ab")
    sweep = sweep.evolve(crystal=crystal, profile=PROFILE)

    def scan(first: int, last: int, start: float, width: float) -> Experiment:
        return sweep.evolve(scan=Scan((first, last), (start, width)))

    axis = sweep.goniometer.lab_axis
    cases = {
        "kappa goniometer": sweep,
        "axis inverted": scan(1, 15, 10.0, 0.5).evolve(goniometer=Goniometer.single_axis(-axis)),
        "from -180": scan(1, 15, -180.0, 0.5),
        "through 360": scan(1, 15, 356.0, 0.5),
        "one image": scan(7, 7, 10.0, 0.5),
        "numbers from 6": scan(6, 15, 10.0, 0.5),
        "0.05 degrees": scan(1, 15, 10.0, 0.05),
        "2 degrees": scan(1, 15, 10.0, 2.0),
        "24 panels": barrel.evolve(crystal=crystal, profile=PROFILE, scan=Scan((1, 10), (0.0, 0.5))),
    }
    # DIALS wants one scan per image set
    experiments = ExperimentList(
        [replace(e, identifier=name, imageset=replace(e.imageset)) for name, e in cases.items()]
    )
    write_expt(folder / "all.expt", experiments)
    dials("predict", folder / "all.expt", "d_min=1.7", cwd=folder)
    ours, theirs = predict(experiments, Params(d_min=1.7)), read_refl(folder / "predicted.refl")
    tables = {}
    for i, name in enumerate(cases):
        both = []
        for table in (ours, theirs):
            # for short scans DIALS predicts a little beyond d_min
            d = 1 / np.linalg.norm(table["miller_index"] @ crystal.A.T, axis=1)
            t = table.select((table["id"] == i) & (d >= 1.7))
            order = np.lexsort((*t["miller_index"].T, t["entering"], np.round(t["xyzcal.px"][:, 2], 3)))
            both.append(t.select(order))
        tables[name] = tuple(both)
    return tables


def test_predictions_and_boxes(compared: dict[str, tuple]) -> None:
    for name, (a, b) in compared.items():
        assert len(a) > 10, name
        for column in ("miller_index", "entering", "panel", "bbox"):
            assert np.array_equal(a[column], b[column]), (name, column)
        assert np.abs(a["xyzcal.px"] - b["xyzcal.px"]).max() < 1e-8, name
    assert len(set(compared["24 panels"][0]["panel"])) > 20
