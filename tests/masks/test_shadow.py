"""Shadows of goniometers: by hand, and frame by frame."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mxdask.images.shadows import SweepShadow
from mxdask.masks.goniometers import diamond_anvil, mini_kappa, shadow_of, smargon
from mxdask.masks.shadow import Shadow
from mxdask.masks.shadow_curve import shadow_curve, write_plot
from mxdask.models import Detector, Goniometer, Panel

# Perpendicular to X at 100 mm, so that a cone about X leaves a circle in the middle.
SIDE = Detector((Panel((0, 0, 1), (0, 1, 0), (100, -100, -100), (200, 200), (1.0, 1.0)),))
FRONT = Detector((Panel((1, 0, 0), (0, -1, 0), (-50, 50, -60), (100, 100), (1.0, 1.0), identifier="S/N 60-0126"),))
KAPPA = Goniometer.multi_axis(
    [(1, 0, 0), (0.914, 0.279, -0.297), (1, 0, 0)], [0, 0, 0], ["GON_PHI", "GON_KAPPA", "GON_OMEGA"], 2
)
CHI = Goniometer.multi_axis([(1, 0, 0), (0, 0, -1), (1, 0, 0)], [0, 90, 0], ["GON_PHI", "GON_CHI", "GON_OMEGA"], 2)


def test_cone_of_the_mini_kappa_is_a_circle():
    (mask,) = Shadow(SIDE, KAPPA, mini_kappa()).masks(0.0)
    j, i = np.mgrid[:200, :200] + 0.5
    radius = 100 * np.tan(np.deg2rad(43.60281897270362 / 2))
    distance = np.hypot(i - 100, j - 100)
    clear = np.abs(distance - radius) > 0.05  # the rim has 360 corners
    np.testing.assert_array_equal(~mask[clear], (distance < radius)[clear])
    assert Shadow(SIDE, KAPPA, mini_kappa()).fraction(0.0) == pytest.approx(np.pi * radius**2 / 200**2, rel=1e-3)


def test_shadow_turns_with_the_scan_axis():
    shadow = Shadow(FRONT, CHI, smargon())
    fractions = {angle: shadow.fraction(angle) for angle in (0.0, 90.0, 180.0, 270.0)}
    assert max(fractions.values()) > 0.05
    assert min(fractions.values()) == 0.0
    assert shadow.masks(max(fractions, key=fractions.get))[0].mean() == pytest.approx(
        1 - max(fractions.values()), abs=0.01
    )


def test_an_anvil_cell_hides_all_but_its_opening():
    cell = Shadow(SIDE, Goniometer.multi_axis([(0, 0, 1)], [0.0], ["phi"], 0), diamond_anvil())
    (mask,) = cell.masks(90.0)  # its axis, Y, now along X
    radius = 100 * np.tan(np.deg2rad(38))
    assert mask.sum() == pytest.approx(np.pi * radius**2, rel=0.01)
    assert mask[100, 100]
    assert not mask[0, 0]


def test_who_has_a_shadow():
    def unasked() -> str:
        raise AssertionError("the detector decides")

    assert shadow_of(FRONT, CHI, "Auto", unasked) is not None
    assert shadow_of(FRONT, CHI, False, unasked) is None
    assert shadow_of(FRONT, Goniometer.single_axis((1, 0, 0)), "Auto", unasked) is None
    assert shadow_of(FRONT, KAPPA, "Auto", unasked) is None  # 60-0126 has a SmarGon only
    assert shadow_of(SIDE, CHI, "Auto", lambda: "elsewhere") is None
    assert shadow_of(SIDE, CHI, "Auto", lambda: "DIAMOND BEAMLINE I04") is not None
    assert shadow_of(SIDE, CHI, "Auto", lambda: "DLS I19-2") is None  # a cell only on request
    assert shadow_of(SIDE, CHI, True, lambda: "DLS I19-2").solid.is_aperture
    assert shadow_of(SIDE, KAPPA, "mini_kappa", unasked) is not None


@pytest.mark.parametrize(("solid", "goniometer"), [(smargon(), CHI), (diamond_anvil(), KAPPA)])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int32])
def test_hidden_counts_are_the_masked_ones(solid, goniometer, dtype):
    angles = [a for a in range(0, 360, 10) if 0.01 < Shadow(FRONT, goniometer, solid).fraction(a) < 0.99]
    sweep = SweepShadow(Shadow(FRONT, goniometer, solid), first=5, start=float(angles[0]), width=0.5)
    frame = np.arange(10000, dtype=dtype).reshape(100, 100)
    good = np.ones((100, 100), dtype=bool)
    good[3, 4] = False
    (mask,) = sweep.over([good], 5)
    (hidden,) = sweep.hide([frame], 5)
    lit = sweep.shadow.masks(angles[0])[0]
    np.testing.assert_array_equal(mask, lit & good)
    np.testing.assert_array_equal(hidden[lit], frame[lit])
    assert (hidden[~lit] < -(2**31) + 1).all()
    assert good.sum() == 9999  # the mask that was given is untouched


def test_frames_without_shadow_are_not_copied():
    shadow = Shadow(FRONT, CHI, smargon())
    clear = next(a for a in range(0, 360, 10) if shadow.fraction(a) == 0.0)
    sweep = SweepShadow(shadow, 0, float(clear), 0.1)
    frame = np.zeros((100, 100), dtype=np.uint16)
    assert sweep.hide([frame], 0)[0] is frame
    assert pickle.loads(pickle.dumps(sweep)).angle(10) == pytest.approx(clear + 1.0)


def test_curve(tmp_path):
    angles, fractions = shadow_curve(Shadow(FRONT, CHI, smargon()), -10, 10, 0.1)
    assert len(angles) == len(fractions) == 200
    write_plot(tmp_path / "a.html", {"sweep": (angles, fractions)}, "GON_OMEGA", 10.0)
    assert "Shadowed area" in (tmp_path / "a.html").read_text()
