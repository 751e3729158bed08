"""Boxes, masks, gathering and summation against plain numpy."""

from __future__ import annotations

import numpy as np

from mxdask.geometry.kabsch import local_axes, zeta
from mxdask.integrate.background_recipe import recipe_of
from mxdask.integrate.boxes import bounding_boxes
from mxdask.integrate.gather_kernels import INVALID, OVERLOAD, copy_frame, foreground_pixels
from mxdask.integrate.mask_kernels import foreground_planes
from mxdask.integrate.panels import panel_records
from mxdask.integrate.params import Background, Glm
from mxdask.integrate.profile_model import ProfileModel
from mxdask.integrate.summation_kernels import measure_boxes

MODEL = ProfileModel(np.deg2rad(0.06), np.deg2rad(0.1))


def boxes_of(sweep):
    e, p = sweep.experiment, sweep.predictions
    z = zeta(e.goniometer.lab_axis, e.beam.s0, p.s1)
    return bounding_boxes(e, p.panel, p.s1, p.xyz_mm[:, 2], z, MODEL)


def starts(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def local(sweep, i: int, xy: np.ndarray) -> np.ndarray:
    """(n, 2) ε1, ε2 of pixel positions, straight from the detector model."""
    e, p = sweep.experiment, sweep.predictions
    e1, e2 = local_axes(e.beam.s0, p.s1[i : i + 1])
    lab = e.detector.lab_of_pixels(np.zeros(len(xy), int), xy)
    ray = lab / np.linalg.norm(lab, axis=1, keepdims=True)
    return np.column_stack([ray @ e1[0], ray @ e2[0]])


def test_boxes_hold_the_foreground_and_stay_in_the_scan(sweep) -> None:
    box = boxes_of(sweep)
    assert np.all(box[:, 4] >= 0) and np.all(box[:, 5] <= sweep.experiment.scan.n_images)
    assert np.all(box[:, 5] > box[:, 4])
    centre = sweep.predictions.xyz_px
    assert np.all((box[:, 0] < centre[:, 0]) & (centre[:, 0] < box[:, 1]))
    inside = (centre[:, 2] > 0) & (centre[:, 2] < 30)
    assert np.all((box[:, 4] <= centre[:, 2]) & (centre[:, 2] <= box[:, 5]) | ~inside)


def test_foreground_is_what_the_nearest_corner_says(sweep) -> None:
    box, p = boxes_of(sweep), sweep.predictions
    plane = starts((box[:, 1] - box[:, 0]).astype(int) * (box[:, 3] - box[:, 2]))
    out = np.empty(plane[-1], np.uint8)
    foreground_planes(
        panel_records(sweep.experiment.detector),
        p.panel,
        sweep.experiment.beam.s0,
        p.s1,
        box,
        np.full(len(p), MODEL.delta_b),
        plane,
        out,
    )
    different = 0
    for i in range(0, len(p), 7):
        x0, x1, y0, y1 = box[i, :4]
        gx, gy = np.meshgrid(np.arange(x0, x1 + 1), np.arange(y0, y1 + 1))
        r2 = np.sum(local(sweep, i, np.column_stack([gx.ravel(), gy.ravel()]).astype(float)) ** 2, axis=1).reshape(
            gx.shape
        )
        nearest = np.min([r2[:-1, :-1], r2[1:, :-1], r2[:-1, 1:], r2[1:, 1:]], axis=0)
        different += np.sum((nearest <= MODEL.delta_b**2) != out[plane[i] : plane[i + 1]].reshape(nearest.shape))
    assert different <= 2  # parallax is interpolated inside a box: a corner may fall to the other side of the limit


def test_gathering_and_summation_equal_numpy(sweep) -> None:
    box, p, frames = boxes_of(sweep), sweep.predictions, sweep.stack.frames.copy()
    good = np.ones(frames.shape[1:], bool)
    good[100:103] = False
    frames[5, 50:60, 50:60] = 65000
    area = (box[:, 1] - box[:, 0]).astype(int) * (box[:, 3] - box[:, 2])
    plane, offset = starts(area), starts(area * (box[:, 5] - box[:, 4]))
    values = np.empty(offset[-1], np.int32)
    for z in range(len(frames)):
        copy_frame(frames[z], good, 0, 60000, z, 0, p.panel, box, offset, values)
    foreground = np.empty(plane[-1], np.uint8)
    records, s0 = panel_records(sweep.experiment.detector), sweep.experiment.beam.s0
    foreground_planes(records, p.panel, s0, p.s1, box, np.full(len(p), MODEL.delta_b), plane, foreground)
    integers, reals = np.zeros((len(p), 8), np.int32), np.zeros((len(p), 13))
    recipe = recipe_of(Background(glm=Glm(rings=False)))
    measure_boxes(records, p.panel, s0, box, plane, foreground, offset, values, *recipe, integers, reals)
    pixel_start = starts(np.add.reduceat(foreground, plane[:-1], dtype=int))
    count_start = starts(np.diff(pixel_start) * (box[:, 5] - box[:, 4]))
    uv, counts = np.empty((pixel_start[-1], 2), np.float32), np.empty(count_start[-1], np.int32)
    foreground_pixels(
        records, p.panel, s0, p.s1, box, plane, foreground, offset, values, pixel_start, count_start, uv, counts
    )

    padded = np.full((len(frames), 400, 400), INVALID, np.int64)
    padded[:, 80:320, 80:320] = np.where(good, np.where(frames > 60000, OVERLOAD, frames), INVALID)
    for i in range(0, len(p), 5):
        x0, x1, y0, y1, z0, z1 = box[i]
        data = padded[z0:z1, y0 + 80 : y1 + 80, x0 + 80 : x1 + 80]
        assert np.array_equal(data.ravel(), values[offset[i] : offset[i + 1]])
        mask = foreground[plane[i] : plane[i + 1]].reshape(data.shape[1:]).astype(bool)
        inside, outside = data[:, mask], data[:, ~mask]
        n_background = np.sum(outside >= 0)
        bad = [np.sum(inside < 0), np.sum(outside < 0)]
        expected_counts = [np.sum(data >= 0), n_background, n_background, np.sum(inside >= 0), *bad]
        assert integers[i, :6].tolist() == expected_counts
        assert integers[i, 6] == np.sum(data == OVERLOAD)
        signal = inside[inside >= 0]
        n, nb, mean = len(signal), np.sum(outside >= 0), reals[i, 0]
        assert np.isclose(reals[i, 3], signal.sum() - n * mean)
        spread = mean * n * (1 + n / nb)
        assert np.isclose(reals[i, 2], spread) and np.isclose(reals[i, 4], abs(reals[i, 3]) + spread)
        gz, gy, gx = np.nonzero((data > mean) & mask)
        if len(gz) > 1:
            w = data[gz, gy, gx] - mean
            expected = [
                x0 + np.average(gx + 0.5, weights=w),
                y0 + np.average(gy + 0.5, weights=w),
                z0 + np.average(gz + 0.5, weights=w),
            ]
            assert np.allclose(reals[i, 5:8], expected)
        gy, gx = np.nonzero(mask)
        at = slice(pixel_start[i], pixel_start[i + 1])
        assert np.allclose(uv[at], local(sweep, i, np.column_stack([x0 + gx + 0.5, y0 + gy + 0.5])), atol=2e-7)
        assert np.array_equal(counts[count_start[i] : count_start[i + 1]], np.where(inside >= 0, inside, -1).ravel())
