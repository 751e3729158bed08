"""Masters with nonsense in them: each is a row that names the file and the fault, and its neighbour goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from mutations import with_value
from nxmx_writer import write_data, write_master

from mxdask.flow import Flow
from mxdask.importing.params import Params
from mxdask.importing.step import run

SHAPE = (20, 30)
WAVELENGTH = "entry/instrument/beam/incident_wavelength"
OMEGA = "entry/sample/transformations/omega"
MODULE = "entry/instrument/detector/module/"

Change = Callable[[h5py.File], Any]


def vector(path: str, new: Any) -> Change:
    return lambda file: file[path].attrs.__setitem__("vector", new)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("headers")
    write_data(folder / "d.h5", np.zeros((6, *SHAPE), "uint16"))
    write_master(folder / "good.nxs", [("d.h5", 6)], SHAPE, "uint16")
    return folder


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (with_value(WAVELENGTH, np.nan), "wavelength nan"),
        (with_value(WAVELENGTH, -1.0), "wavelength -1.0"),
        (with_value(WAVELENGTH, "long"), "header holds something unexpected"),
        (with_value(WAVELENGTH, np.zeros(0)), "header holds something unexpected"),
        (with_value(OMEGA, np.full(6, np.nan)), "oscillation"),
        (with_value(OMEGA, np.zeros(0)), "0 values"),
        (with_value(MODULE + "data_size", [20]), "header holds something unexpected"),
        (with_value(MODULE + "fast_pixel_direction", [0.0]), "above zero"),
        (with_value(MODULE + "fast_pixel_direction", [np.nan]), "above zero"),
        (vector(MODULE + "slow_pixel_direction", [0.0, 0.0, 0.0]), "not all zero"),
        (vector(OMEGA, [1.0, 0.0]), "three numbers"),
        (vector(OMEGA, [np.nan, 0.0, 0.0]), "not all zero"),
        (lambda file: file.__delitem__("entry/instrument/detector"), "NXdetector"),
        (lambda file: file.__delitem__(WAVELENGTH), "incident_wavelength"),
    ],
)
def test_nonsense_in_a_master_is_named(folder: Path, tmp_path: Path, change: Change, fault: str) -> None:
    bad = folder / f"{tmp_path.name}.nxs"
    write_master(bad, [("d.h5", 6)], SHAPE, "uint16")
    with h5py.File(bad, "r+") as file:
        change(file)
    experiments, summary = run([bad, folder / "good.nxs"], Params(), flow=Flow("sync"))
    assert [e.name for e in experiments] == ["good"]
    (row,) = [r for r in summary["rows"] if r["status"] == "failed"]
    assert row["reason"].startswith(f"{bad}: ")
    assert fault in row["reason"]
    assert "\n" not in row["reason"]
    assert row["bad_input"]


@pytest.mark.parametrize("name", ["saturation_value", "bit_depth_image"])
@pytest.mark.parametrize("number", [np.nan, -40.0, 0.0])
def test_limits_that_are_none_leave_the_pixels_usable(folder: Path, tmp_path: Path, name: str, number: float) -> None:
    odd = folder / f"{tmp_path.name}.nxs"
    write_master(odd, [("d.h5", 6)], SHAPE, "uint16", **{name: number})
    (experiment,), _ = run([odd], Params(), flow=Flow("sync"))
    assert experiment.detector is not None
    low, high = experiment.detector[0].trusted_range
    assert low == 0.0
    assert high == (2.0**16 - 3 if name == "saturation_value" else 5000.0)  # the writer's saturation value
