"""Files of shapes (phil, YAML, JSON), which sweep gets which mask, and the picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mxdask.errors import FileError
from mxdask.io.mask import write_mask
from mxdask.io.phil import read_phil
from mxdask.masks import MaskParams, Region
from mxdask.masks.assign import distinct, generate_for, numbered, read_fitting, with_mask_files
from mxdask.masks.picture import draw_mask, panel_offsets
from mxdask.masks.reasons import Reasons
from mxdask.masks.shape_file import with_shapes
from mxdask.models import Beam, Detector, Experiment, ExperimentList, ImageSet, Panel

PHIL = """# saved by the viewer
border = 3
untrusted {
  panel = 1
  circle = 100 200 30
}
untrusted
{
  polygon = 10 20 300 40 \\
            150 180
}
ice_rings { filter = True ; width = 0.003 }
d_min = None
resolution_range = 3.9 3.7
resolution_range = "2.2" 2.3
output { mask = "foo bar.mask" }
"""


def detector(distance=100.0):
    return Detector((Panel((1, 0, 0), (0, -1, 0), (-30, 20, -distance), (60, 40), (1.0, 1.0)),))


def test_phil_of_the_image_viewer(tmp_path):
    path = tmp_path / "mask.phil"
    path.write_text(PHIL)
    params = with_shapes(MaskParams(border=5), path, "")
    assert params.border == 5  # what is typed counts more
    assert params.untrusted == (Region(panel=1, circle=(100, 200, 30)), Region(polygon=(10, 20, 300, 40, 150, 180)))
    assert params.resolution_range == ((3.9, 3.7), (2.2, 2.3))
    assert (params.ice_rings.filter, params.ice_rings.width) == (True, 0.003)
    assert params.d_min is None


@pytest.mark.parametrize("text", ["untrusted { circle = 1 2 3", "border 3", "border = 2 }", "colour = red"])
def test_broken_phil_is_one_line(tmp_path, text):
    path = tmp_path / "mask.phil"
    path.write_text(text)
    with pytest.raises(FileError, match=r"mask\.phil: "):
        with_shapes(MaskParams(), path, "")


def test_phil_attributes_and_nesting(tmp_path):
    path = tmp_path / "a.phil"
    path.write_text("a.b = 1 # no\n  .type = int\nc { d { e = f g } }\n")
    assert read_phil(path) == [("a.b", "1"), (".type", "int"), ("c", [("d", [("e", "f g")])])]


def test_yaml_for_a_beamline(tmp_path):
    path = tmp_path / "beamline.yaml"
    path.write_text(
        "- detector: s/n 60-0126\n  border: 2\n"
        "  untrusted: [{polygon: [[1, 2], [3, 4], [5, 0]], reason: arm}]\n"
        "- untrusted: [{circle: [10, 10, 4]}]\n"
    )
    there = with_shapes(MaskParams(untrusted=(Region(pixel=(1, 1)),)), path, "PILATUS3 6M, S/N 60-0126")
    assert there.border == 2
    assert [r.reason for r in there.untrusted] == ["", "arm", ""]
    assert with_shapes(MaskParams(), path, "other").untrusted == (Region(circle=(10, 10, 4)),)
    as_json = tmp_path / "one.json"
    as_json.write_text(json.dumps({"border": 7}))
    assert with_shapes(MaskParams(), as_json, "").border == 7


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "border: [1"), ("a.yaml", "border: x"), ("a.json", "{"), ("a.yaml", "5"), ("a.yaml", "- {circles: 3}")],
)
def test_broken_yaml_is_one_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(FileError, match=name) as error:
        with_shapes(MaskParams(), path, "")
    assert "\n" not in str(error.value)


def experiments():
    beam = Beam(direction=(0, 0, 1), wavelength=1.0)
    near, far = detector(100), detector(200)
    sets = [ImageSet(f"s{k}_####.cbf") for k in range(3)]
    rows = [(sets[0], near), (sets[0], near), (sets[1], detector(100)), (sets[2], far)]
    return ExperimentList(Experiment(f"e{k}", s, beam, d) for k, (s, d) in enumerate(rows))


def test_one_mask_per_distinct_detector():
    flat = generate_for(experiments(), lambda d: MaskParams(border=2), lambda e: None)
    assert [a.rows for a in flat] == [(0, 1, 2, 3)]
    by_resolution = generate_for(experiments(), lambda d: MaskParams(d_min=4), lambda e: None)
    assert [a.rows for a in by_resolution] == [(0, 1, 2), (3,)]
    assert numbered("pixels.mask", 1) == ["pixels.mask"]
    assert numbered("pixels.mask", 12)[0] == "pixels_01.mask"


def test_existing_masks_are_anded():
    old = np.ones((40, 60), dtype=bool)
    old[20, 30] = False
    (found,) = generate_for(experiments(), lambda d: MaskParams(border=1), lambda e: (old,))
    assert not found.mask[0][20, 30]
    assert not found.mask[0][0].any()
    assert [a.rows for a in distinct([(old,), (old.copy(),), (~old,)])] == [(0, 1), (2,)]


def test_mask_of_another_detector_is_refused(tmp_path):
    write_mask(tmp_path / "a.mask", [np.ones((41, 60), dtype=bool)])
    with pytest.raises(FileError, match=r"a\.mask: mask of 1 panel of 41 × 60 pixels, but s0 has 1 panel of 40 × 60"):
        read_fitting(tmp_path / "a.mask", experiments()[0])


def test_image_sets_stay_shared():
    out = with_mask_files(experiments(), {0: "a", 1: "a", 3: "b"})
    assert out[0].imageset is out[1].imageset
    assert [e.imageset.mask for e in out] == ["a", "a", None, "b"]


def test_picture_and_counts(tmp_path):
    reasons = Reasons.none([(40, 60)])
    left, top = np.ones((40, 60), dtype=bool), np.ones((40, 60), dtype=bool)
    left[:, :10] = False
    top[:10] = False
    reasons.add("left", [left])
    reasons.add("top", [top])
    assert reasons.rows() == [("left", 400, 400), ("top", 500, 600)]
    np.testing.assert_array_equal(reasons.codes[0] == 0, left & top)
    draw_mask(tmp_path / "m.png", reasons, [(0, 0)], "test", [np.full((40, 60), 3)])
    with Image.open(tmp_path / "m.png") as picture:
        pixels = np.asarray(picture)
    assert len({tuple(pixels[30, 5]), tuple(pixels[5, 30]), tuple(pixels[30, 30])}) == 3
    assert tuple(pixels[5, 5]) == tuple(pixels[30, 5])


def test_panels_without_known_places_are_stacked():
    assert panel_offsets([(10, 5), (10, 5)], [(0, 0), (0, 0)]) == [(0, 0), (20, 0)]
    assert panel_offsets([(10, 5), (10, 5)], [(0, 0), (12, 0)]) == [(0, 0), (12, 0)]
