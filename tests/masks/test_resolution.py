"""Resolution limits and powder rings against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.errors import ParameterError
from mxdask.masks import MaskParams, generate_mask
from mxdask.masks.params import IceRings
from mxdask.masks.resolution import highest_resolution, mask_resolution, powder_rings
from mxdask.models import Beam, Detector, Panel
from mxdask.models.detector import PARALLAX

BEAM = Beam(direction=(0, 0, 1), wavelength=1.0)


def panel(tilt=0.0, thickness=0.5):
    c, s = np.cos(tilt), np.sin(tilt)
    return Panel(
        fast_axis=(c, 0, s), slow_axis=(0, -1, 0), origin=np.array([-25 * c, 20, -60 - 25 * s]), image_size=(203, 149),
        pixel_size=(0.25, 0.27), thickness=thickness, mu=2.0, px_mm_strategy=PARALLAX,
    )  # fmt: skip


def d_star_sq(p):
    """(slow, fast) 1/d² at pixel centres."""
    x, y = np.meshgrid(np.arange(p.image_size[0]) + 0.5, np.arange(p.image_size[1]) + 0.5)
    ray = p.lab_coord(p.pixel_to_mm(np.column_stack([x.ravel(), y.ravel()])))
    q = ray / np.linalg.norm(ray, axis=1, keepdims=True) - BEAM.s0
    return np.einsum("ij,ij->i", q, q).reshape(x.shape)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-0.9, 0.9), st.sampled_from([0.0, 0.5]),
    st.lists(st.tuples(st.floats(0, 0.5), st.floats(1e-5, 0.1)), min_size=1, max_size=8),
)  # fmt: skip
def test_kernel_is_the_plain_formula(tilt, thickness, ranges):
    p = panel(tilt, thickness)
    value = d_star_sq(p)
    intervals = [(low, low + width) for low, width in ranges]
    wanted, near = np.ones(value.shape, dtype=bool), np.zeros(value.shape, dtype=bool)
    for low, high in intervals:
        wanted &= ~((value >= low) & (value <= high))
        near |= (np.abs(value - low) < 1e-12) | (np.abs(value - high) < 1e-12)
    mask = np.ones(value.shape, dtype=bool)
    mask_resolution(mask, p, BEAM, intervals, parallax=True)
    np.testing.assert_array_equal(mask[~near], wanted[~near])


def test_limits_add_up():
    p = panel()
    d = d_star_sq(p) ** -0.5
    params = MaskParams(d_min=2.5, d_max=12, resolution_range=((4.0, 3.5),))
    (mask,) = generate_mask(Detector((p,)), BEAM, params)
    np.testing.assert_array_equal(mask, (d > 2.5) & (d < 12) & ~((d >= 3.5) & (d <= 4.0)))


def test_a_pixel_whose_centre_is_hit_by_the_beam_has_low_resolution():
    p = Panel((1, 0, 0), (0, -1, 0), (-10.5, 10.5, -50), (21, 21), (1.0, 1.0))
    low = generate_mask(Detector((p,)), BEAM, MaskParams(d_max=20))[0]
    high = generate_mask(Detector((p,)), BEAM, MaskParams(d_min=20))[0]
    assert not low[10, 10]
    assert high[10, 10]


def test_rings_of_hexagonal_ice():
    # 3.90, 3.67, 3.44, 2.67, 2.25 Å: (100), (002), (101), (102), (110); (001) and (003) are absent.
    d = np.array(powder_rings(IceRings(), 2.2)) ** -0.5
    np.testing.assert_allclose(sorted(set(d.round(3)))[::-1], [3.895, 3.669, 3.441, 2.671, 2.249], atol=0.001)


def test_rings_are_masked_to_the_panels_corner():
    p = panel(thickness=0.0)
    value = d_star_sq(p)
    (mask,) = generate_mask(Detector((p,)), BEAM, MaskParams(ice_rings=IceRings(filter=True, width=0.003)))
    rings = powder_rings(IceRings(), highest_resolution(p, BEAM, parallax=True))
    near = np.min([np.abs(value - centre) for centre in rings], axis=0)
    np.testing.assert_array_equal(mask, near > 0.0015)


@pytest.mark.parametrize(
    "rings", [IceRings(filter=True, space_group="Q7"), IceRings(filter=True, unit_cell=(5, 6, 7, 90, 90, 120))]
)
def test_impossible_powder_is_said(rings):
    with pytest.raises(ParameterError, match="ice_rings"):
        generate_mask(Detector((panel(),)), BEAM, MaskParams(ice_rings=rings))


def test_resolution_needs_a_beam():
    with pytest.raises(ParameterError, match="beam"):
        generate_mask(Detector((panel(),)), None, MaskParams(d_min=2))
