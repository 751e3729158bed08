"""Whole integration of simulated sweeps with known intensities."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from mxdask.errors import FileError, MxdaskError
from mxdask.flow import Flow
from mxdask.geometry.kabsch import zeta
from mxdask.geometry.predict_all import predict_all
from mxdask.integrate.blocks import plan_blocks, rows_of_block
from mxdask.integrate.corrections import ICE_RINGS
from mxdask.integrate.params import Block, Params
from mxdask.integrate.step import run
from mxdask.models import Detector, ExperimentList, rotation_matrix
from mxdask.params import parse
from mxdask.table import Flag, ReflectionTable


def integrate(sweep, *words: str, scheduler: str = "sync"):
    with Flow(scheduler, n_workers=2) as flow:
        return run(ExperimentList([sweep.experiment]), sweep.spots, parse(Params, words), flow=flow)


def truth(sweep, table: ReflectionTable) -> np.ndarray:
    """True intensity of every row, by index and side of the sphere."""
    p = sweep.predictions
    rows = {(*map(int, h), bool(e)): i for i, (h, e) in enumerate(zip(p.miller_index, p.entering, strict=True))}
    return sweep.intensity[
        [rows[(*map(int, h), bool(e))] for h, e in zip(table["miller_index"], table["entering"], strict=True)]
    ]


def pulls(sweep, table: ReflectionTable, kind: str) -> np.ndarray:
    flag = Flag.INTEGRATED_PRF if kind == "prf" else Flag.INTEGRATED_SUM
    t = table.select(table.has_flags(flag) & (table["partiality"] > 0.98))
    return (t[f"intensity.{kind}.value"] - truth(sweep, t)) / np.sqrt(t[f"intensity.{kind}.variance"])


def row_of(table: ReflectionTable, sweep, i: int) -> int:
    p = sweep.predictions
    match = np.all(table["miller_index"] == p.miller_index[i], axis=1) & (table["entering"] == p.entering[i])
    return int(np.flatnonzero(match)[0])


def test_intensities_and_errors_are_right(sweep, serve) -> None:
    serve(sweep)
    experiments, table, summary = integrate(sweep)
    for kind in ("sum", "prf"):
        pull = pulls(sweep, table, kind)
        assert len(pull) > 500
        assert 0.9 < 0.7413 * np.subtract(*np.percentile(pull, [75, 25])) < 1.12
        assert abs(np.median(pull)) < 0.1
    fitted = table.select(table.has_flags(Flag.INTEGRATED) & (table["partiality"] > 0.98))
    errors = {k: fitted[f"intensity.{k}.value"] - truth(sweep, fitted) for k in ("sum", "prf")}
    weak = truth(sweep, fitted) < 30
    assert np.std(errors["prf"][weak]) < 0.85 * np.std(errors["sum"][weak])
    row = summary["rows"][0]
    assert row["status"] == "ok" and row["n_reflections"] == len(table) == summary["n_reflections"]
    assert row["mean_background"] == pytest.approx(0.4, rel=0.02)
    z = table["xyzcal.px"][:, 2]  # reflections centred before or after the scan belong to no image
    assert len(row["per_image"]["image"]) == 30
    assert sum(row["per_image"]["n_reflections"]) == np.sum((z >= 0) & (z < 30))
    assert experiments[0].profile["__id__"] == "gaussian_rs"
    assert table.identifiers == {0: "synthetic"}


def test_the_result_does_not_depend_on_blocks_or_threads(sweep, serve) -> None:
    serve(sweep)
    whole = integrate(sweep)[1]
    for words, scheduler in ((("block.size=7",), "threads"), (("block.size=1",), "sync"), (("block.size=13",), "sync")):
        cut = integrate(sweep, *words, scheduler=scheduler)[1]
        assert set(cut) == set(whole)
        for name in whole:
            assert np.array_equal(whole[name], cut[name]), name


def test_blocks_cover_the_scan_once(sweep) -> None:
    for size in (1, 4, 30, 99):
        blocks = plan_blocks(sweep.experiment, Block(size=size))
        assert blocks[0][0] == 0 and blocks[-1][1] == 30
        assert all(a[1] == b[0] for a, b in itertools.pairwise(blocks))
        z = sweep.predictions.xyz_px[:, 2]
        rows = np.concatenate([rows_of_block(z, (0, 30), b) for b in blocks])
        assert sorted(rows.tolist()) == list(range(len(z)))


def test_a_hot_pixel_in_the_foreground_does_not_reach_the_fit(sweep, serve) -> None:
    p = sweep.predictions
    i = int(np.flatnonzero((sweep.intensity < 50) & (p.xyz_px[:, 2] > 5) & (p.xyz_px[:, 2] < 25))[0])
    frames = sweep.stack.frames.copy()
    x, y = np.floor(p.xyz_px[i, :2] + [1.2, 0]).astype(int)
    frames[:, y, x] += 500
    serve(sweep, frames=frames)
    table = integrate(sweep)[1]
    row = row_of(table, sweep, i)
    assert table["intensity.sum.value"][row] > 500
    sigma = np.sqrt(table["intensity.prf.variance"][row])
    assert abs(table["intensity.prf.value"][row] - sweep.intensity[i]) < 5 * sigma


def test_overloads_gaps_and_edges_are_flagged(sweep, serve) -> None:
    p = sweep.predictions
    steep = np.abs(zeta(np.array([1.0, 0, 0]), sweep.experiment.beam.s0, p.s1)) > 0.3
    inside = steep & (p.xyz_px[:, 2] > 5) & (p.xyz_px[:, 2] < 25) & np.all(np.abs(p.xyz_px[:, :2] - 120) < 100, axis=1)
    over, gap, part = (int(i) for i in np.flatnonzero(inside)[[3, 40, 80]])
    frames, good = sweep.stack.frames.copy(), sweep.stack.good.copy()
    x, y, z = np.floor(p.xyz_px[over]).astype(int)
    frames[z, y, x] = 65000
    x, y, _ = np.floor(p.xyz_px[gap]).astype(int)
    good[y - 1 : y + 2, x - 3 : x + 4] = False
    x, y, _ = np.floor(p.xyz_px[part]).astype(int)
    good[y - 2, x - 1] = False
    serve(sweep, frames=frames, good=good)
    table = integrate(sweep)[1]
    row = row_of(table, sweep, over)
    assert table.has_flags(Flag.OVERLOADED)[row] and not table.has_flags(Flag.INTEGRATED_SUM)[row]
    match = np.all(table["miller_index"] == p.miller_index[gap], axis=1) & (table["entering"] == p.entering[gap])
    assert not match.any(), "a spot in a gap has no usable foreground and is left out"
    row = row_of(table, sweep, part)
    assert table.has_flags(Flag.FOREGROUND_INCLUDES_BAD_PIXELS | Flag.FAILED_DURING_SUMMATION | Flag.INTEGRATED_PRF)[
        row
    ]
    assert not table.has_flags(Flag.INTEGRATED_SUM)[row]
    edge = np.any((table["bbox"][:, :4] < 0) | (table["bbox"][:, :4] > 240), axis=1)
    assert np.all(
        table.has_flags(Flag.BACKGROUND_INCLUDES_BAD_PIXELS)[edge]
        | table.has_flags(Flag.FOREGROUND_INCLUDES_BAD_PIXELS)[edge]
    )


def test_overloaded_reflections_are_fitted_on_what_is_left_of_them(sweep, serve) -> None:
    frames = sweep.stack.frames.copy()
    frames[frames > 300] = 65000
    serve(sweep, frames=frames)
    table = integrate(sweep)[1]
    t = table.select(table.has_flags(Flag.OVERLOADED | Flag.INTEGRATED_PRF) & (table["partiality"] > 0.98))
    assert len(t) > 50 and not np.any(t.has_flags(Flag.INTEGRATED_SUM | Flag.FOREGROUND_INCLUDES_BAD_PIXELS))
    ratio = t["intensity.prf.value"] / truth(sweep, t)
    assert abs(np.median(ratio) - 1) < 0.02 and np.all(np.abs(ratio - 1) < 0.2)
    assert 0.7 < np.std(pulls(sweep, t, "prf")) < 1.3


def test_masked_foreground_does_not_bias_the_fit(sweep, serve) -> None:
    """Stripes over the detector take pixels out of many spots: the profile is fitted to what is left (back.md 8.3)."""
    good = sweep.stack.good.copy()
    good[:, ::12] = False
    serve(sweep, good=good)
    table = integrate(sweep, "valid_foreground_threshold=0.6")[1]
    t = table.select(
        table.has_flags(Flag.INTEGRATED_PRF | Flag.FOREGROUND_INCLUDES_BAD_PIXELS) & (table["partiality"] > 0.98)
    )
    assert len(t) > 100
    strong = truth(sweep, t) > 300
    ratio = t["intensity.prf.value"][strong].sum() / truth(sweep, t)[strong].sum()
    assert ratio == pytest.approx(1.0, abs=0.03)


def test_reflections_at_the_scan_ends_are_estimates_of_the_whole(sweep, serve) -> None:
    serve(sweep)
    table = integrate(sweep)[1]
    cut = table.has_flags(Flag.INTEGRATED_PRF) & (table["partiality"] < 0.9)
    t = table.select(cut)
    pull = (t["intensity.prf.value"] - truth(sweep, t)) / np.sqrt(t["intensity.prf.variance"])
    assert len(pull) > 10 and abs(np.median(pull)) < 0.8
    outside = (table["xyzcal.px"][:, 2] < 0) | (table["xyzcal.px"][:, 2] >= 30)
    assert not np.any(table.has_flags(Flag.INTEGRATED_PRF) & outside)


def test_an_unreadable_frame_is_left_out_and_named(sweep, serve) -> None:
    serve(sweep, broken=frozenset({12}))
    _, table, summary = integrate(sweep)
    cut = integrate(sweep, "block.size=1")[1]
    assert np.array_equal(cut["intensity.prf.value"], table["intensity.prf.value"])
    assert "1 images could not be read" in summary["rows"][0]["reason"] and "frame 12" in summary["rows"][0]["reason"]
    touched = (table["bbox"][:, 4] <= 12) & (table["bbox"][:, 5] > 12)
    assert not np.any(table.has_flags(Flag.INTEGRATED_SUM) & touched)
    fitted = table.select(table.has_flags(Flag.INTEGRATED_PRF) & touched)
    pull = (fitted["intensity.prf.value"] - truth(sweep, fitted)) / np.sqrt(fitted["intensity.prf.variance"])
    assert len(pull) > 5 and abs(np.median(pull)) < 0.8


def test_a_crystal_that_fails_is_a_row(sweep, serve) -> None:
    serve(sweep)
    broken = sweep.experiment.evolve(identifier="broken", crystal=None)
    spots = ReflectionTable.concat([sweep.spots])
    with Flow("sync") as flow:
        experiments, table, summary = run(ExperimentList([broken, sweep.experiment]), spots, Params(), flow=flow)
    assert [row["status"] for row in summary["rows"]] == ["failed", "ok"]
    assert "crystal" in summary["rows"][0]["reason"]
    assert experiments.identifiers == ["synthetic"] and set(table["id"].tolist()) == {0}
    serve(sweep, broken=frozenset(range(30)))
    with Flow("sync") as flow, pytest.raises(MxdaskError, match="truncated"):
        run(ExperimentList([sweep.experiment]), sweep.spots, Params(), flow=flow)


def test_a_crystal_with_hardly_any_spots_borrows(sweep, serve, caplog: pytest.LogCaptureFixture) -> None:
    serve(sweep)
    caplog.set_level("INFO")
    poor = sweep.experiment.evolve(identifier="poor")
    few = sweep.spots.select(np.arange(3))
    few["id"] = np.ones(3)
    few.identifiers = {1: "poor"}
    spots = ReflectionTable.concat([sweep.spots, few])
    with Flow("sync") as flow:
        experiments, table, _ = run(ExperimentList([sweep.experiment, poor]), spots, Params(), flow=flow)
    assert experiments[1].profile == experiments[0].profile
    assert "3 reference spots are too few" in caplog.text
    assert np.sum(table["id"] == 1) == np.sum(table["id"] == 0)


def test_wedges_of_a_few_images_borrow_profiles(sweep, serve, caplog: pytest.LogCaptureFixture) -> None:
    """Wedges of three, two and one image, and one without a spot, beside a sweep that has all."""
    serve(sweep)
    caplog.set_level("INFO")
    experiments, tables = [sweep.experiment], [sweep.spots]
    for i, n_images in enumerate((3, 2, 1, 5), start=1):
        name = f"{n_images} images"
        wedge = sweep.experiment.evolve(identifier=name, scan=sweep.experiment.scan.cut(11, 10 + n_images))
        z = sweep.spots["bbox"][:, 4:]
        spots = sweep.spots.select((z[:, 0] < 10 + n_images) & (z[:, 1] > 10) & (n_images < 5))
        spots["id"] = np.full(len(spots), i)
        spots.identifiers = {i: name}
        experiments.append(wedge)
        tables.append(spots)
    with Flow("sync") as flow:
        found, table, summary = run(ExperimentList(experiments), ReflectionTable.concat(tables), Params(), flow=flow)
    assert [row["status"] for row in summary["rows"]] == ["ok"] * 5 and len(found) == 5
    assert [row["own_widths"] for row in summary["rows"]] == [True, True, True, False, False]
    assert caplog.text.count("its reference profile starts from those of") == 4
    for i in range(1, 5):
        t = table.select((table["id"] == i) & table.has_flags(Flag.INTEGRATED_PRF) & (table["partiality"] > 0.1))
        pull = (t["intensity.prf.value"] - truth(sweep, t)) / np.sqrt(t["intensity.prf.variance"])
        assert len(pull) > 20 and abs(np.median(pull)) < 0.5
        assert 0.7 < 0.7413 * np.subtract(*np.percentile(pull, [75, 25])) < 1.5


def test_two_lattices_on_one_sweep(sweep, serve, simulate) -> None:
    """Spots of a second lattice in the foreground spoil the sum; the fit leaves their pixels out."""
    first = sweep.experiment
    turned = first.evolve(
        identifier="second", crystal=first.crystal.with_A(rotation_matrix([1, 2, 0], np.deg2rad(2.0)) @ first.crystal.A)
    )
    p = predict_all(turned)
    rng = np.random.default_rng(8)
    intensity = 10 ** rng.uniform(0.5, 4.0, len(p))
    other = rng.poisson(simulate.expected_frames(turned, p, intensity, 0.0))
    serve(sweep, frames=(sweep.stack.frames + other).astype(np.uint16))
    spots = simulate.spots_of(p, intensity, turned)
    spots["id"] = np.ones(len(spots))
    spots.identifiers = {1: "second"}
    with Flow("sync") as flow:
        experiments, table, _ = run(
            ExperimentList([first, turned]), ReflectionTable.concat([sweep.spots, spots]), Params(), flow=flow
        )
    assert experiments.identifiers == ["synthetic", "second"] and set(table["imageset_id"].tolist()) == {0}
    t = table.select((table["id"] == 0) & table.has_flags(Flag.INTEGRATED) & (table["partiality"] > 0.98))
    distance = np.abs(t["xyzcal.px"][:, None] - p.xyz_px[None])
    depth = 0.5 * (t["bbox"][:, 5] - t["bbox"][:, 4])
    touched = (
        (np.hypot(distance[..., 0], distance[..., 1]) < 4) & (distance[..., 2] < depth[:, None]) & (intensity > 1000)
    )
    touched = touched.any(axis=1)
    assert touched.sum() > 10
    error = {k: t[f"intensity.{k}.value"] - truth(sweep, t) for k in ("sum", "prf")}
    assert np.median(np.abs(error["prf"][touched])) < 0.5 * np.median(np.abs(error["sum"][touched]))
    free = error["prf"][~touched] / np.sqrt(t["intensity.prf.variance"][~touched])
    assert abs(np.median(free)) < 0.15


@pytest.fixture
def two_lattices(sweep, serve, simulate):
    """``run(*words)`` integrates the sweep with a second lattice on it; gives the table and the second's truth."""
    first = sweep.experiment
    second = first.evolve(
        identifier="second", crystal=first.crystal.with_A(rotation_matrix([1, 2, 0], np.deg2rad(2.0)) @ first.crystal.A)
    )
    p = predict_all(second)
    rng = np.random.default_rng(8)
    intensity = 10 ** rng.uniform(0.5, 4.0, len(p))
    frames = (sweep.stack.frames + rng.poisson(simulate.expected_frames(second, p, intensity, 0.0))).astype(np.uint16)
    serve(sweep, frames=frames)
    spots = simulate.spots_of(p, intensity, second)
    spots["id"] = np.ones(len(spots))
    spots.identifiers = {1: "second"}
    both = ReflectionTable.concat([sweep.spots, spots])

    def integrate_both(*words: str) -> ReflectionTable:
        with Flow("sync") as flow:
            return run(ExperimentList([first, second]), both, parse(Params, words), flow=flow)[1]

    return integrate_both


def test_overlapping_reflections_are_told_apart(sweep, two_lattices) -> None:
    errors = {}
    for word in ("true", "false"):
        table = two_lattices(f"deconvolution={word}")
        t = table.select((table["id"] == 0) & table.has_flags(Flag.INTEGRATED_PRF) & (table["partiality"] > 0.98))
        shared = t.select(t.has_flags(Flag.OVERLAPPED_FG))
        errors[word] = (shared["intensity.prf.value"] - truth(sweep, shared)) / np.sqrt(truth(sweep, shared) + 100)
        if word == "true":
            pull = pulls(sweep, t.select(t.has_flags(Flag.OVERLAPPED_FG)), "prf")
            assert len(pull) > 100 and 0.8 < 0.7413 * np.subtract(*np.percentile(pull, [75, 25])) < 1.3
            assert abs(np.median(pull)) < 0.2
    assert np.sqrt(np.mean(errors["true"] ** 2)) < 0.2 * np.sqrt(np.mean(errors["false"] ** 2))


def test_lattices_on_one_sweep_share_one_read_and_do_not_depend_on_blocks(sweep, two_lattices, monkeypatch) -> None:
    from mxdask.integrate import measure

    opened, read = measure.open_stack, []

    def counting(experiment):
        stack = opened(experiment)
        reader = type(stack.reader())
        original = reader.read
        monkeypatch.setattr(reader, "read", lambda self, z: (read.append(z), original(self, z))[1])
        monkeypatch.setattr(measure, "open_stack", opened)
        return stack

    monkeypatch.setattr(measure, "open_stack", counting)
    whole = two_lattices()
    assert sorted(read) == list(range(30))
    cut = two_lattices("block.size=11")
    for name in whole:
        assert np.array_equal(whole[name], cut[name]), name


def test_neighbours_in_the_boxes_of_a_dense_lattice_do_not_raise_the_background(serve, simulate, monkeypatch) -> None:
    dense = simulate.make_sweep(seed=4, n_images=20, cell=(85, 95, 105, 90, 95, 90), d_min=4.5)
    serve(dense)
    found = {}
    for left_out in (True, False):
        table = integrate(dense, "d_min=4.5")[1]
        used = table["num_pixels.background_used"] / table["num_pixels.background"]
        found[left_out] = np.mean(used), np.mean(table["background.mean"]) - 0.4, np.mean(pulls(dense, table, "sum"))
        monkeypatch.setattr("mxdask.integrate.measure.leave_out_neighbours", lambda *_: None)
    assert found[True][0] < 0.95 < found[False][0] == 1.0
    assert abs(found[True][1]) < 0.5 * found[False][1]
    assert abs(found[True][2]) < 0.08 and found[False][2] < -0.1


def test_a_broad_powder_ring_is_marked_and_hardly_biases(sweep, serve) -> None:
    """A ring of ice at 1/d² = 0.0665, wider than the boxes, triples the background under it."""
    detector, beam = sweep.experiment.detector, sweep.experiment.beam
    gy, gx = np.indices((240, 240)) + 0.5
    xy = np.column_stack([gx.ravel(), gy.ravel()])
    lab = detector.lab_of_pixels(np.zeros(len(xy), int), xy)
    q = lab / np.linalg.norm(lab, axis=1, keepdims=True) / beam.wavelength - beam.s0
    ring = 0.8 * np.exp(-0.5 * ((np.sum(q**2, axis=1) - 0.0665) / 0.03) ** 2).reshape(240, 240)
    ice = np.random.default_rng(3).poisson(ring, sweep.stack.frames.shape)
    serve(sweep, frames=(sweep.stack.frames + ice).astype(np.uint16))
    table = integrate(sweep, "ice_rings=true")[1]
    on = table.has_flags(Flag.IN_POWDER_RING)
    assert np.array_equal(on, np.any([(table["d"] ** -2 >= a) & (table["d"] ** -2 <= b) for a, b in ICE_RINGS], axis=0))
    near = np.abs(table["d"] ** -2 - 0.0665) < 0.004
    assert near.sum() > 30 and np.median(table["background.mean"][near]) > 0.8
    for kind in ("sum", "prf"):
        pull = pulls(sweep, table.select(near), kind)
        assert abs(np.median(pull)) < 0.5 and np.std(pull) < 1.6


def test_spots_cut_by_the_edge_of_the_panel(sweep, serve) -> None:
    serve(sweep)
    table = integrate(sweep, "valid_foreground_threshold=0.6")[1]
    box = table["bbox"]
    cut = np.any((box[:, [0, 2]] < 0) | (box[:, [1, 3]] > 240), axis=1)
    t = table.select(cut & table.has_flags(Flag.INTEGRATED_PRF) & (table["partiality"] > 0.98))
    pull = pulls(sweep, t, "prf")
    assert len(pull) > 20 and abs(np.median(pull)) < 0.5 and 0.7413 * np.subtract(*np.percentile(pull, [75, 25])) < 1.5


def test_finished_crystals_are_not_integrated_again(sweep, serve, tmp_path) -> None:
    serve(sweep)
    results = []
    for _ in range(2):
        with Flow("sync", run_dir=tmp_path) as flow:
            results.append(run(ExperimentList([sweep.experiment]), sweep.spots, Params(), flow=flow)[1])
        serve(sweep, broken=frozenset(range(30)))  # the second time nothing could be read
    assert np.array_equal(results[0]["intensity.prf.value"], results[1]["intensity.prf.value"])


def test_other_choices(sweep, serve) -> None:
    serve(sweep)
    usual = integrate(sweep)[1]
    simple = integrate(sweep, "background.algorithm=simple")[1]
    assert np.all(simple["num_pixels.background_used"] <= simple["num_pixels.background"])
    assert np.median(simple["background.mean"]) == pytest.approx(np.median(usual["background.mean"]), rel=0.1)
    summed = integrate(sweep, "fitting.fit=false")[1]
    assert "intensity.prf.value" not in summed and np.all(summed.has_flags(Flag.INTEGRATED_SUM))
    shells = integrate(sweep, "d_min=5", "d_max=9", "ice_rings=true")[1]
    assert shells["d"].min() >= 5 and shells["d"].max() <= 9
    assert shells.has_flags(Flag.IN_POWDER_RING).sum() == 0  # the first ring lies beyond 1/d² = 0.064


def test_a_narrow_powder_ring_does_not_bias(sweep, serve) -> None:
    """A ring 3 pixels wide (σ) and 25 times as bright as the rest; a level background is wrong by several σ there."""
    detector, beam = sweep.experiment.detector, sweep.experiment.beam
    gy, gx = np.indices((240, 240)) + 0.5
    lab = detector.lab_of_pixels(np.zeros(240 * 240, int), np.column_stack([gx.ravel(), gy.ravel()]))
    q = lab / np.linalg.norm(lab, axis=1, keepdims=True) / beam.wavelength - beam.s0
    radius = np.linalg.norm(q, axis=1).reshape(240, 240)
    pixel = np.mean(np.hypot(*np.gradient(radius)))
    ice = np.random.default_rng(3).poisson(
        10.0 * np.exp(-0.5 * ((radius - 0.258) / (3 * pixel)) ** 2), sweep.stack.frames.shape
    )
    serve(sweep, frames=(sweep.stack.frames + ice).astype(np.uint16))
    biases = {}
    for rings in (True, False):
        table = integrate(sweep, f"glm.rings={rings}")[1]
        near = table.select(np.abs(1 / table["d"] - 0.258) < 9 * pixel)
        biases[rings] = {kind: pulls(sweep, near, kind) for kind in ("sum", "prf")}
    for kind in ("sum", "prf"):
        assert len(biases[True][kind]) > 100
        assert abs(np.mean(biases[True][kind])) < 0.3 and np.std(biases[True][kind]) < 1.3
        assert np.std(biases[False][kind]) > 2.0


def test_shadowed_images_are_not_measured_and_an_unreadable_mask_is_an_error(sweep, serve, monkeypatch) -> None:
    """The goniometer's arm covers the left half of the detector from image 15 on."""
    stack_type = type(sweep.stack)
    frames = sweep.stack.frames.copy()
    frames[15:, :, :120] = 0

    def shadowed(self, z: int) -> tuple[np.ndarray, ...]:
        good = self.good.copy()
        good[:, :120] = z < 15
        return (good,)

    monkeypatch.setattr(stack_type, "mask_of", shadowed)
    serve(sweep, frames=frames)
    table = integrate(sweep)[1]
    x, z = table["xyzcal.px"][:, 0], table["xyzcal.px"][:, 2]
    dark = (table["bbox"][:, 1] <= 120) & (table["bbox"][:, 4] >= 15)
    assert not np.any(dark), "a spot wholly in the shadow is left out"
    cut = (x < 110) & (z > 10) & (z < 15) & table.has_flags(Flag.FOREGROUND_INCLUDES_BAD_PIXELS)
    assert cut.sum() > 3 and not np.any(table.has_flags(Flag.INTEGRATED_SUM)[cut])
    for rows in (cut, x > 130):
        pull = pulls(sweep, table.select(rows), "prf")
        assert abs(np.median(pull)) < 0.6

    def unreadable(self, z: int) -> tuple[np.ndarray, ...]:
        raise FileError("mask.pickle: cannot be read")

    monkeypatch.setattr(stack_type, "mask_of", unreadable)
    with pytest.raises(MxdaskError, match=r"mask\.pickle"):
        integrate(sweep)


def test_two_panels_are_one_panel_with_a_gap(sweep, serve, monkeypatch) -> None:
    """The detector cut into two with 20 columns lost between them: away from the cut all is as on one panel."""
    good = sweep.stack.good.copy()
    good[:, 110:130] = False
    serve(sweep, good=good)
    widths = ("sigma_b=0.0695", "sigma_m=0.1")
    whole = integrate(sweep, *widths)[1]
    panel = sweep.experiment.detector[0]
    step = np.asarray(panel.fast_axis) * panel.pixel_size[0]
    left = dataclasses.replace(panel, image_size=(110, 240), name="left")
    right = dataclasses.replace(panel, image_size=(110, 240), origin=panel.origin + 130 * step, name="right")

    @dataclasses.dataclass
    class Cut:
        frames: np.ndarray
        shapes = ((240, 110), (240, 110))

        def mask(self) -> tuple[np.ndarray, ...]:
            return tuple(np.ones((240, 110), dtype=bool) for _ in range(2))

        def mask_of(self, z: int) -> tuple[np.ndarray, ...]:
            return self.mask()

        def reader(self) -> Cut:
            return self

        def __enter__(self) -> Cut:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, z: int) -> tuple[np.ndarray, ...]:
            frame = self.frames[z]
            return np.ascontiguousarray(frame[:, :110]), np.ascontiguousarray(frame[:, 130:])

    from mxdask.integrate import measure

    monkeypatch.setattr(measure, "open_stack", lambda experiment: Cut(sweep.stack.frames))
    cut = dataclasses.replace(sweep, experiment=sweep.experiment.evolve(detector=Detector((left, right))))
    parts = integrate(cut, *widths)[1]
    assert set(parts["panel"]) == {0, 1}
    key = {
        (*map(int, h), bool(e)): i
        for i, (h, e) in enumerate(zip(whole["miller_index"], whole["entering"], strict=True))
    }
    clear = (parts["bbox"][:, 0] >= 0) & (parts["bbox"][:, 1] <= 110)
    t = parts.select(clear)
    rows = np.array([key[(*map(int, h), bool(e))] for h, e in zip(t["miller_index"], t["entering"], strict=True)])
    same = whole.select(rows)
    assert len(t) > 300
    shift = np.where(t["panel"] == 1, 130, 0)
    assert np.array_equal(t["bbox"][:, :2] + shift[:, None], same["bbox"][:, :2])
    assert np.abs(t["xyzcal.px"][:, 0] + shift - same["xyzcal.px"][:, 0]).max() < 1e-9
    assert np.allclose(t["intensity.sum.value"], same["intensity.sum.value"])
    assert np.allclose(t["intensity.sum.variance"], same["intensity.sum.variance"])
    fitted = t.has_flags(Flag.INTEGRATED_PRF) & same.has_flags(Flag.INTEGRATED_PRF)
    difference = t["intensity.prf.value"][fitted] - same["intensity.prf.value"][fitted]
    assert np.median(np.abs(difference) / np.sqrt(same["intensity.prf.variance"][fitted])) < 0.1
    edge = parts.select(~clear & parts.has_flags(Flag.INTEGRATED_PRF) & (parts["partiality"] > 0.98))
    assert abs(np.median(pulls(sweep, edge, "prf"))) < 0.5
