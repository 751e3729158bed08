"""Borders, shapes and polygons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxdask.errors import ParameterError
from mxdask.masks import MaskParams, Region, generate_mask
from mxdask.masks.polygon import clip_to_rectangle, convex_hull, polygon_area, polygon_runs
from mxdask.models import Detector, Panel
from mxdask.params import parse

PANEL = Panel(
    fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), origin=(-50, 40, -100), image_size=(100, 80), pixel_size=(1.0, 1.0)
)
TWO = Detector((PANEL, PANEL.with_frame(PANEL.fast_axis, PANEL.slow_axis, np.array([-50.0, 140, -100]))))


def masked(*words):
    return [~m for m in generate_mask(TWO, None, parse(MaskParams, words))]


def test_border():
    first, second = masked("border=3")
    assert first.sum() == second.sum() == 100 * 80 - 94 * 74
    assert not first[3:-3, 3:-3].any()


def test_shapes_are_where_they_were_said_to_be():
    first, second = masked("untrusted.rectangle=10,20,5,8")
    assert first.sum() == 30
    assert first[5:8, 10:20].all()
    assert not second.any()  # no panel is panel 0, as in DIALS
    assert masked("untrusted.panel=1", "untrusted.circle=50,40,1.5")[1].sum() == 9
    (y,), (x,) = np.nonzero(masked("untrusted.pixel=7,9")[0])
    assert (y, x) == (7, 9)
    assert [m.all() for m in masked("untrusted.panel=1")] == [False, True]


def test_a_panel_holds_for_the_shapes_that_follow():
    first, second = masked(
        "untrusted.rectangle=0,1,0,1", "untrusted.panel=1", "untrusted.pixel=2,3", "untrusted.pixel=4,5",
        "untrusted.rectangle=10,12,0,1",
    )  # fmt: skip
    assert np.argwhere(first).tolist() == [[0, 0]]
    assert np.argwhere(second).tolist() == [[0, 10], [0, 11], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    "word",
    ["rectangle=0,101,0,5", "circle=-30,-30,5", "pixel=80,0", "polygon=200,200,210,200,205,210", "rectangle=5,4,1,2",
     "circle=1,2,0", "polygon=1,2,3,4", "panel=2"],
)  # fmt: skip
def test_a_shape_that_is_not_there_is_said(word):
    with pytest.raises(ParameterError, match="untrusted"):
        masked(f"untrusted.{word}")


def inside_reference(corners, x, y):
    """Even-odd rule, one point."""
    odd = False
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            odd = not odd
    return odd


CORNERS = st.lists(
    st.tuples(st.floats(-20, 60).map(lambda v: round(v, 2)), st.floats(-20, 50).map(lambda v: round(v, 2))),
    min_size=3, max_size=7,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(CORNERS)
def test_polygon_is_the_even_odd_rule_on_pixel_centres(corners):
    mask = np.zeros((30, 40), dtype=bool)
    runs = polygon_runs(np.array(corners), mask.shape)
    runs.fill(mask, True)
    wanted = [[inside_reference(np.array(corners), i + 0.5, j + 0.5) for i in range(40)] for j in range(30)]
    np.testing.assert_array_equal(mask, wanted)
    assert runs.n_pixels == mask.sum()


@settings(max_examples=60, deadline=None)
@given(CORNERS)
def test_hull_holds_all_points_and_clipping_is_the_common_part(corners):
    points = np.array(corners)
    hull = convex_hull(points)
    if len(hull) < 3:
        return
    edges = np.roll(hull, -1, axis=0) - hull
    for (x, y), (dx, dy) in zip(hull, edges, strict=True):
        assert (dx * (points[:, 1] - y) - dy * (points[:, 0] - x) >= -1e-9).all()
    clipped = clip_to_rectangle(hull, 40, 30)
    whole, part = np.zeros((30, 40), dtype=bool), np.zeros((30, 40), dtype=bool)
    polygon_runs(hull, whole.shape).fill(whole, True)
    if len(clipped) >= 3:
        polygon_runs(clipped, part.shape).fill(part, True)
    # Crossings with the panel's edge are rounded: a centre exactly on an edge may change sides.
    y, x = np.mgrid[:30, :40] + 0.5
    lines = zip(hull, edges / np.linalg.norm(edges, axis=1, keepdims=True), strict=True)
    on_edge = np.any([np.abs(u * (y - y0) - v * (x - x0)) < 1e-9 for (x0, y0), (u, v) in lines], axis=0)
    np.testing.assert_array_equal(whole[~on_edge], part[~on_edge])
    assert polygon_area(clipped) <= polygon_area(hull) + 1e-9


def test_polygon_as_pairs():
    assert Region(polygon=((1, 2), (3, 4), (5, 0))).polygon == (1, 2, 3, 4, 5, 0)
