"""The threshold kernels against plain numpy written straight from the definitions (front.md 6.1)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_cdt

from mxdask.spots.params import Dispersion
from mxdask.spots.threshold import DispersionThreshold, box_counts, global_threshold, make_rule, make_tables


def box_sums(values: np.ndarray, ky: int, kx: int) -> np.ndarray:
    padded = np.pad(values, ((ky, ky), (kx, kx)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * ky + 1, 2 * kx + 1))
    return windows.sum(axis=(2, 3))


def reference(frame, mask, trusted, params, gain=1.0, pedestal=0.0, *, extended):
    """Strong pixels as a bool map, in float64 throughout."""
    ky, kx = params.kernel_size
    image = (frame.astype(np.float64) - pedestal) / gain
    valid = mask & (frame >= trusted[0]) & (frame <= trusted[1])
    summed = valid & (frame < 2**24)
    g = params.gain or 1.0
    least = params.min_local if params.min_local > 0 else (2 * ky + 1) * (2 * kx + 1)
    m = box_sums(summed.astype(np.float64), ky, kx)
    x = box_sums(np.where(summed, image, 0.0), ky, kx)
    y = box_sums(np.where(summed, image * image, 0.0), ky, kx)
    enough = valid & (m >= least) & (x >= 0)
    with np.errstate(invalid="ignore"):
        limit = g * x * (m - 1 + params.sigma_background * np.sqrt(2 * np.maximum(m - 1, 0)))
        dispersed = enough & (m * y - x * x > limit)
        peak = m * image - x > params.sigma_strong * np.sqrt(g * x * m)
    if not extended:
        return dispersed & peak & (image > params.global_threshold)
    if params.masked_pixels_dispersed:
        dispersed |= ~valid
    erosion = min(ky, kx)
    padded = np.pad(dispersed, erosion, constant_values=True)
    distance = distance_transform_cdt(padded, "chessboard")[erosion:-erosion, erosion:-erosion]
    if dispersed.all():
        distance = np.full(frame.shape, 10**6)
    keep = dispersed & (distance >= erosion)
    background = summed & ~keep
    number = box_sums(background.astype(np.float64), ky + 2, kx + 2)
    total = box_sums(np.where(background, image, 0.0), ky + 2, kx + 2)
    mean = np.where(number >= 2, total / np.maximum(number, 1), 0.0)
    with np.errstate(invalid="ignore"):
        above = (total >= 0) & (image >= mean + params.sigma_strong * np.sqrt(g * mean))
    return valid & keep & (image > params.global_threshold) & above


def find(frame, mask, trusted, params, gain=1.0, pedestal=0.0, *, extended):
    rule = make_rule(params, trusted, gain, pedestal, params.global_threshold)
    return DispersionThreshold(make_tables(mask, rule), rule, extended=extended).find(frame)


def make_frame(seed, shape, dtype, background, n_spots, brightest, bad_fraction):
    """Poisson background, small round spots, and randomly masked pixels."""
    rng = np.random.default_rng(seed)
    frame = rng.poisson(background, shape).astype(np.float64)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for _ in range(n_spots):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        height = np.exp(rng.uniform(1, np.log(brightest)))
        frame += rng.poisson(height * np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2) / rng.uniform(0.3, 2.5)))
    mask = rng.random(shape) >= bad_fraction
    return np.minimum(frame, np.iinfo(dtype).max).astype(dtype), mask


frames = st.builds(
    make_frame,
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(8, 40), st.integers(8, 45) | st.sampled_from([63, 64, 65, 66, 128, 131])),
    dtype=st.sampled_from([np.uint16, np.uint32, np.int32]),
    background=st.sampled_from([0.02, 0.5, 4.0, 40.0, 3000.0]),
    n_spots=st.integers(0, 6),
    brightest=st.sampled_from([50.0, 3e4, 1e7, 6e7]),
    bad_fraction=st.sampled_from([0.0, 0.02, 0.3]),
)


@pytest.mark.parametrize("extended", [False, True])
@given(
    data=frames,
    kernel=st.sampled_from([(3, 3), (3, 3), (2, 4), (1, 1), (5, 3)]),
    min_local=st.sampled_from([2, 0, 12]),
    gain=st.sampled_from([None, 0.7, 20.0]),
    highest=st.sampled_from([300, 40000, 2**31 - 1]),
    dispersed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_same_pixels_as_definition(extended, data, kernel, min_local, gain, highest, dispersed):
    frame, mask = data
    params = Dispersion(kernel_size=kernel, min_local=min_local, gain=gain, masked_pixels_dispersed=dispersed)
    found = find(frame, mask, (0, highest), params, extended=extended)
    expected = reference(frame, mask, (0, highest), params, extended=extended)
    np.testing.assert_array_equal(found.index, np.flatnonzero(expected))
    np.testing.assert_array_equal(found.value, frame.ravel()[found.index])
    usable = mask & (frame <= highest) & (frame < 2**24)
    assert found.n_usable == usable.sum()
    assert found.total == frame[usable].sum(dtype=np.int64)
    assert found.n_overloaded == (mask & (frame > highest)).sum()


@pytest.mark.parametrize("extended", [False, True])
@given(seed=st.integers(0, 2**31), pedestal=st.sampled_from([0.0, 12.0, 7.25]), gain=st.sampled_from([1.0, 2.0, 0.5]))
@settings(max_examples=25, deadline=None)
def test_pedestal_gain_and_negative_values(extended, seed, pedestal, gain):
    frame, mask = make_frame(seed, (32, 37), np.int32, 3.0, 5, 1e3, 0.05)
    frame = (frame * int(np.ceil(gain)) + int(pedestal) - 2).astype(np.int32)
    params = Dispersion(sigma_strong=2.5, global_threshold=1.0)
    found = find(frame, mask, (-100, 5000), params, gain, pedestal, extended=extended)
    expected = reference(frame, mask, (-100, 5000), params, gain, pedestal, extended=extended)
    np.testing.assert_array_equal(found.index, np.flatnonzero(expected))


def test_memory_is_clean_between_frames():
    params = Dispersion()
    first, mask = make_frame(1, (40, 50), np.uint16, 0.5, 8, 3e4, 0.1)
    second, _ = make_frame(2, (40, 50), np.uint16, 30.0, 4, 6e4, 0.1)
    rule = make_rule(params, (0, 50000), 1.0, 0.0, 0.0)
    threshold = DispersionThreshold(make_tables(mask, rule), rule, extended=True)
    alone = [find(f, mask, (0, 50000), params, extended=True).index for f in (first, second)]
    for frame, expected in zip((first, second, first), (*alone, alone[0]), strict=True):
        np.testing.assert_array_equal(threshold.find(frame).index, expected)


@pytest.mark.parametrize("extended", [False, True])
def test_nothing_in_nothing(extended):
    params = Dispersion()
    for mask in (np.ones((20, 20), bool), np.zeros((20, 20), bool)):
        assert len(find(np.zeros((20, 20), np.uint16), mask, (0, 100), params, extended=extended).index) == 0


def test_false_positives_on_flat_background_are_rare():
    rng = np.random.default_rng(3)
    frame = rng.poisson(2.0, (500, 500)).astype(np.uint16)
    assert len(find(frame, np.ones(frame.shape, bool), (0, 1000), Dispersion(), extended=True).index) < 25


def test_box_counts_at_edges():
    counts = box_counts(np.ones((6, 7), bool), 1, 2)
    assert counts[0, 0] == 2 * 3
    assert counts[3, 3] == 3 * 5


def test_tables_are_laid_out_by_rows():
    """Rows that are not contiguous make the kernels five times slower."""
    mask = np.random.default_rng(0).random((20, 30)) > 0.1
    tables = make_tables(mask, make_rule(Dispersion(), (0, 10), 1.0, 0.0, 0.0))
    assert all(table.flags.c_contiguous for table in tables)


def test_global_threshold_separates_spots_from_background():
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.poisson(5, 100_000), rng.integers(100, 2000, 500)])
    assert 5 <= global_threshold(values) <= 40
