"""Masks pixel by pixel as those of the real DIALS; files read by both."""

from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np
import pytest

from mxdask.cli import main
from mxdask.images import open_stack
from mxdask.io.expt import read_expt
from mxdask.io.mask import read_mask, write_mask
from mxdask.masks import MaskParams, generate_mask
from mxdask.masks.goniometers import shadow_of
from mxdask.params import parse

pytestmark = [pytest.mark.dials, pytest.mark.data]

I23, I03 = "DLS_I23_P12M_thau_00001.cbf.gz", "DLS_I03_smargon_0001.cbf.gz"

ALL_SHAPES = """border = 4
untrusted { panel = 0
 circle = 300 100 77 }
untrusted { panel = 0
 polygon = 600 20 800 40 650 180 620 150 690 60 }
untrusted { panel = 0
 rectangle = 1000 1200 30 90 }
untrusted { panel = 0
 pixel = 13 47 }
resolution_range = 3.9 3.7
resolution_range = 2.3 2.2
d_max = 30
d_min = 1.5
ice_rings { filter = True }
"""


def dxtbx(code, folder):
    """Run a piece of Python with the real dxtbx."""
    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("the system's python3 is not there")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(
        ["/usr/bin/python3", "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def imported(data_dir, dials, tmp_path_factory):
    """``imported(name, folder)`` puts the real program's imported.expt of an image there; each is made once."""
    made = {}

    def put(name, folder):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("imported")
            dials("import", data_dir / "formats" / name, cwd=made[name])
        shutil.copy(made[name] / "imported.expt", folder)

    return put


@pytest.mark.parametrize("name", [I03, I23])
def test_generate_mask(name, imported, dials, tmp_path, monkeypatch):
    (tmp_path / "mask.phil").write_text(ALL_SHAPES)
    imported(name, tmp_path)
    dials("generate_mask", "imported.expt", "mask.phil", "output.mask=theirs.mask", cwd=tmp_path)
    words = ["generate_mask", "imported.expt", "mask.phil", "output.experiments=ours.expt"]
    monkeypatch.chdir(tmp_path)
    assert main(words) == 0
    ours, theirs = read_mask(tmp_path / "pixels.mask"), read_mask(tmp_path / "theirs.mask")
    assert len(ours) == len(theirs) == (24 if name == I23 else 1)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    # DIALS takes our file for the mask of these images.
    dxtbx(
        "from dxtbx.model.experiment_list import ExperimentList as E; import numpy as np\n"
        "m = E.from_file('ours.expt')[0].imageset.external_lookup.mask.data\n"
        "np.save('seen.npy', [m.tile(i).data().as_numpy_array() for i in range(m.n_tiles())])",
        tmp_path,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "seen.npy"), ours)


def test_one_panel_of_many(imported, dials, tmp_path):
    imported(I23, tmp_path)
    (tmp_path / "m.phil").write_text("untrusted { panel = 7\n circle = 100 100 50 }\nuntrusted { panel = 3 }\n")
    dials("generate_mask", "imported.expt", "m.phil", cwd=tmp_path)
    experiment = read_expt(tmp_path / "imported.expt")[0]
    params = parse(MaskParams, ["untrusted.panel=7", "circle=100,100,50", "untrusted.panel=3"])
    for a, b in zip(generate_mask(experiment.detector, None, params), read_mask(tmp_path / "pixels.mask"), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [I03, I23])
def test_apply_mask_both_ways(name, imported, dials, tmp_path, monkeypatch):
    imported(name, tmp_path)
    detector = read_expt(tmp_path / "imported.expt")[0].detector
    rng = np.random.default_rng(3)
    masks = [rng.random(p.image_size[::-1]) > 0.3 for p in detector.panels]
    write_mask(tmp_path / "random.mask", masks)
    dials("apply_mask", "imported.expt", "input.mask=random.mask", "output.experiments=theirs.expt", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["apply_mask", "imported.expt", "random.mask"]) == 0
    for expt in ("masked.expt", "theirs.expt"):
        stack = open_stack(read_expt(tmp_path / expt)[0])
        for seen, mask in zip(stack.mask(), masks, strict=True):
            assert not (seen & ~mask).any()
    # A second mask is added to the first.
    write_mask(tmp_path / "half.mask", [~np.tri(*m.shape, dtype=bool) for m in masks])
    assert main(["apply_mask", "masked.expt", "half.mask", "output.experiments=both.expt"]) == 0
    for both, mask in zip(read_mask(tmp_path / "combined.mask"), masks, strict=True):
        np.testing.assert_array_equal(both, mask & ~np.tri(*mask.shape, dtype=bool))


@pytest.mark.parametrize("name", [I03, I23])
def test_shadows(name, imported, tmp_path):
    imported(name, tmp_path)
    angles = [-210.0, -30.1, 0.0, 45.0, 90.0, 133.7, 200.0]
    dxtbx(
        "from dxtbx.model.experiment_list import ExperimentList as E; import numpy as np\n"
        "e = E.from_file('imported.expt')[0]\n"
        f"for k, a in enumerate({angles}):\n"
        "    m = e.imageset.masker().get_mask(e.detector, a)\n"
        "    np.save(f'{k}.npy', [t.as_numpy_array() for t in m])\n"
        "np.save('first.npy', [t.as_numpy_array() for t in e.imageset.get_mask(0)])",
        tmp_path,
    )
    experiment = read_expt(tmp_path / "imported.expt")[0]
    shadow = shadow_of(experiment.detector, experiment.goniometer, "Auto", lambda: "")
    assert shadow is not None
    hidden = 0
    for k, angle in enumerate(angles):
        ours = shadow.masks(angle)
        np.testing.assert_array_equal(ours, np.load(tmp_path / f"{k}.npy"))
        hidden += sum(int((~m).sum()) for m in ours)
    assert hidden > 100_000
    stack = open_stack(experiment)
    z = stack.array_range[0]
    with stack.reader() as reader:
        frames = reader.read(z)
    for panel, mask, frame, wanted in zip(
        experiment.detector.panels, stack.mask_of(z), frames, np.load(tmp_path / "first.npy"), strict=True
    ):
        low, high = panel.trusted_range
        np.testing.assert_array_equal(mask & (frame >= low) & (frame <= high), wanted)


def test_show_mask_and_shadow_plot(data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(data_dir / "formats" / I03, tmp_path)
    assert main(["import", I03]) == 0
    assert main(["show_mask", "imported.expt"]) == 0
    assert main(["shadow_plot", "imported.expt", "oscillation_range=0,180", "step_size=30"]) == 0
    assert {"mask.png", "mask.json", "scan_shadow_plot.html", "scan_shadow_plot.json"} <= set(os.listdir())
