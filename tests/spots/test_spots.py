"""Rows of strong.refl from components: numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.models import Panel
from mxdask.spots.components import Block, label_block
from mxdask.spots.density import crowded
from mxdask.spots.params import SpotDensity
from mxdask.spots.spots import CountScale, make_table
from mxdask.table import Flag, ReflectionTable


def make_panel(**changes) -> Panel:
    values = {
        "fast_axis": (1, 0, 0), "slow_axis": (0, -1, 0), "origin": (-1, 1, -100), "image_size": (10, 8),
        "pixel_size": (0.1, 0.1), "trusted_range": (0, 1000),
    }  # fmt: skip
    return Panel(**(values | changes))


def block_of(frames: dict[int, dict[tuple[int, int], int]], scale: CountScale) -> Block:
    """{z: {(slow, fast): raw value}} on a panel 10 pixels wide."""
    pixels = []
    for z in range(min(frames), max(frames) + 1):
        items = sorted((y * 10 + x, v) for (y, x), v in frames.get(z, {}).items())
        index = np.array([i for i, _ in items], np.int64)
        pixels.append((index, scale.integers(np.array([v for _, v in items], np.int64))))
    return label_block((min(frames), max(frames) + 1), pixels, 10, flat=False, largest=100)


def table_of(frames, panel, **changes):
    options = {"smallest": 1, "largest": 100, "max_separation": 2.0, "shoeboxes": True} | changes
    return make_table(block_of(frames, CountScale.of(panel)), 3, panel, **options)


def test_two_pixels_by_hand():
    table, _ = table_of({7: {(2, 4): 30, (2, 5): 10}}, make_panel())
    assert table["bbox"].tolist() == [[4, 6, 2, 3, 7, 8]]
    assert table["intensity.sum.value"].tolist() == table["intensity.sum.variance"].tolist() == [40.0]
    np.testing.assert_allclose(table["xyzobs.px.value"], [[4.75, 2.5, 7.5]])
    # Σv(x−x̄)² = 30·0.25² + 10·0.75² = 7.5; unbiased by S²/(S²−ΣI²)=1600/600: σ²=0.5, of the mean 0.5/40.
    np.testing.assert_allclose(table["xyzobs.px.variance"], [[0.0125 + 1 / 12, 1 / 12, 1 / 12]])
    assert table["n_signal"].tolist() == [2]
    assert table["panel"].tolist() == [3]
    assert table["flags"].tolist() == [int(Flag.STRONG)]
    assert table.shoeboxes.data.tolist() == [30.0, 10.0]
    assert table.shoeboxes.mask.tolist() == [5, 5]


def test_single_pixel_has_no_weight():
    table, _ = table_of({0: {(1, 1): 9}}, make_panel())
    np.testing.assert_array_equal(table["xyzobs.px.value"], [[1.5, 1.5, 0.5]])
    np.testing.assert_array_equal(table["xyzobs.px.variance"], [[0, 0, 0]])


@pytest.mark.parametrize("pedestal", [5.0, 5.5])
def test_gain_and_pedestal(pedestal):
    table, _ = table_of({0: {(1, 1): 25, (1, 2): 15}}, make_panel(gain=2.0, pedestal=pedestal))
    a, b = (25 - pedestal) / 2, (15 - pedestal) / 2
    np.testing.assert_allclose(table["intensity.sum.value"], [a + b])
    np.testing.assert_allclose(table["xyzobs.px.value"][0, 0], 1.5 + b / (a + b))
    np.testing.assert_allclose(table.shoeboxes.data, [a, b])


def test_shoebox_is_zero_where_nothing_is_strong():
    table, _ = table_of({4: {(0, 0): 5, (0, 1): 6}, 5: {(0, 1): 7, (1, 1): 8}}, make_panel())
    np.testing.assert_array_equal(table.shoeboxes.data, [5, 6, 0, 0, 0, 7, 0, 8])
    np.testing.assert_array_equal(table.shoeboxes.mask, [5, 5, 0, 0, 0, 5, 0, 5])


def test_filters_are_counted():
    frames = {0: {(0, 0): 5, (2, 0): 5, (2, 1): 5, **{(5, x): 100 if x == 0 else 60 for x in range(9)}}}
    table, counted = table_of(frames, make_panel(), smallest=2, max_separation=2.0)
    assert (counted.extracted, counted.too_small, counted.too_large, counted.off_centre) == (3, 1, 0, 1)
    assert len(table) == 1
    _, counted = table_of(frames, make_panel(), smallest=2, largest=8)
    assert counted.too_large == 1


def test_values_above_the_detectors_range_are_flagged():
    table, _ = table_of({0: {(0, 0): 1001, (0, 1): 5}}, make_panel())
    assert table["flags"].tolist() == [int(Flag.STRONG | Flag.OVERLOADED)]


def test_crowded_areas_are_found():
    rng = np.random.default_rng(5)
    spread, clump = rng.uniform(0, 1000, (3000, 3)), rng.uniform(480, 500, (400, 3))
    table = ReflectionTable({"xyzobs.px.value": np.concatenate([spread, clump])})
    reject = crowded(table, SpotDensity())
    assert reject[3000:].mean() > 0.95
    assert reject[:3000].mean() < 0.02
