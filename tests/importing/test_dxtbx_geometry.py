"""Every file of the data folder's ``formats`` against the models that the real dxtbx makes of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.images import open_stack
from mxdask.importing.params import Params
from mxdask.importing.step import run
from mxdask.params import parse

pytestmark = pytest.mark.dials

# Experiment list of one file, as JSON; and the sums of every panel's raw pixels where they can be read.
_PROGRAM = """
import json, sys
from dxtbx.model.experiment_list import ExperimentListFactory
found = ExperimentListFactory.from_filenames([sys.argv[1]])
out = found.to_dict()
try:
    raw = found[0].imageset.get_raw_data(0)
    out["sums"] = [int(p[p > 0].sum()) for p in (panel.as_numpy_array() for panel in raw)]
except Exception:
    out["sums"] = None
print("RESULT" + json.dumps(out))
"""


def dxtbx_models(path: Path) -> dict[str, Any]:
    if not Path("/usr/bin/dials.import").exists() and shutil.which("dials.import") is None:
        pytest.skip("the real DIALS is not installed (apt-get install dials)")
    import hdf5plugin

    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment |= {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["/usr/bin/python3", "-c", _PROGRAM, str(path)], env=environment, capture_output=True, text=True, timeout=200
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT")] or pytest.fail(done.stderr)
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT"))
    return found


def near(ours: Any, theirs: Any, what: str) -> None:
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), atol=1e-6, rtol=1e-9, err_msg=what)


def inclusive(panel: dict[str, Any]) -> tuple[float, float]:
    """DIALS 3.12 leaves the ends of a range that begins below zero out (decision 0003)."""
    low, high = panel["trusted_range"]
    return (low + 1, high - 1) if low < 0 and low == int(low) else (low, high)


@pytest.mark.parametrize(
    ("name", "read_pixels"),
    [
        ("DLS_I03_smargon_0001.cbf.gz", True),
        ("DLS_I23_P12M_thau_00001.cbf.gz", True),
        ("TIMEPIX_SU_512-stdgoni_0001.img", True),
        ("dlsnxs2cbf_therm_0001.cbf.gz", True),
        ("Therm_6_2.nxs", False),
    ],
)
def test_geometry_is_that_of_dxtbx(data_dir: Path, name: str, read_pixels: bool) -> None:
    path = data_dir / "formats" / name
    theirs = dxtbx_models(path)
    params = parse(Params, [f"check_images={read_pixels}"])
    assert isinstance(params, Params)
    ((experiment,), _) = run([path], params, flow=Flow("sync"))
    beam, detector, goniometer, scan = experiment.beam, experiment.detector, experiment.goniometer, experiment.scan
    assert beam is not None
    assert detector is not None
    assert goniometer is not None
    assert scan is not None
    for key in ("wavelength", "direction", "polarization_normal", "polarization_fraction"):
        near(getattr(beam, key), theirs["beam"][0][key], key)
    panels = theirs["detector"][0]["panels"]
    assert len(detector) == len(panels)
    root = theirs["detector"][0]["hierarchy"]
    axes = np.column_stack([root["fast_axis"], root["slow_axis"], np.cross(root["fast_axis"], root["slow_axis"])])
    for ours, other in zip(detector.panels, panels, strict=True):
        near(ours.fast_axis, axes @ other["fast_axis"], "fast axis")
        near(ours.slow_axis, axes @ other["slow_axis"], "slow axis")
        near(ours.origin, axes @ other["origin"] + root["origin"], "origin")
        for key in ("pixel_size", "thickness", "mu", "gain", "pedestal"):
            near(getattr(ours, key), other[key], key)
        assert list(ours.image_size) == other["image_size"]
        assert ours.material == other["material"]
        assert ours.px_mm_strategy == other["px_mm_strategy"]["type"]
        if name != "Therm_6_2.nxs":  # decision 0003: of NXmx the two highest codes are left out
            low, high = inclusive(other)
            assert ours.trusted_range[0] == low
            assert high <= ours.trusted_range[1] <= high + 1  # miniCBF: later versions include the cutoff itself
    model = theirs["goniometer"][0]
    if "axes" in model:
        assert goniometer.axes is not None
        near(goniometer.axes, np.reshape(model["axes"], (-1, 3)), "axes")
        near(goniometer.angles, model["angles"], "angles")
        assert list(goniometer.names) == model["names"]
        assert goniometer.scan_axis == model["scan_axis"]
    else:
        near(goniometer.rotation_axis, model["rotation_axis"], "axis")
        near(goniometer.fixed_rotation.ravel(), model["fixed_rotation"], "fixed rotation")
        near(goniometer.setting_rotation.ravel(), model["setting_rotation"], "setting rotation")
    other_scan = theirs["scan"][0]
    assert list(scan.image_range) == other_scan["image_range"]
    near(scan.oscillation, other_scan["oscillation"], "oscillation")
    if read_pixels:
        with open_stack(experiment).reader() as reader:
            sums = [int(p[p > 0].sum(dtype=np.int64)) for p in reader.read(scan.array_range[0])]
        assert sums == theirs["sums"]


def test_a_master_without_pixels_says_which_file_is_missing(data_dir: Path) -> None:
    for name, missing in (("Therm_6_2.nxs", "Therm_6_2_000001.h5"), ("dectris_eiger_master.h5", "data_000001.h5")):
        with pytest.raises(MxdaskError, match=rf"{missing} is missing; copy it beside the master file"):
            run([data_dir / "formats" / name], Params(), flow=Flow("sync"))
