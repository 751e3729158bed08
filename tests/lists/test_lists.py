"""Split, slice, combine, filter, rename: ids, identifiers and sweeps stay consistent."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from synthetic_sweeps import several

from mxdask.errors import MxdaskError, ParameterError
from mxdask.lists import combine, filtering, modify, slicing, split, tables
from mxdask.lists.flag_expression import evaluate
from mxdask.lists.identifiers import assign_identifiers
from mxdask.lists.selecting import select_experiments
from mxdask.models import Detector, Panel
from mxdask.params import parse
from mxdask.table import Flag, ReflectionTable


@pytest.fixture
def lists():
    """Three sweeps with 30 spots each, the last five of every sweep unindexed."""
    experiments, table = several(3, 30)
    ids = table["id"].copy()
    for row in range(3):
        ids[np.flatnonzero(table["id"] == row)[-5:]] = -1
    table["id"] = ids
    return experiments, table


def consistent(experiments, table):
    assert table.identifiers == dict(enumerate(experiments.identifiers))
    sweeps = {id(s): i for i, s in enumerate(experiments.unique("imageset"))}
    for row, experiment in enumerate(experiments):
        mine = table["id"] == row
        assert np.all(table["imageset_id"][mine] == sweeps[id(experiment.imageset)])
        z = table["xyzobs.px.value"][mine, 2]
        first, last = experiment.scan.array_range
        assert np.all((z >= first) & (z <= last))


def test_selection_takes_unindexed_spots_of_its_sweeps_along(lists):
    part, table = select_experiments(*lists, [2, 0])
    consistent(part, table)
    assert part.identifiers == ["id-sweep2", "id-sweep0"]
    assert np.count_nonzero(table["id"] < 0) == 10
    assert set(table["imageset_id"]) == {0, 1}


@pytest.mark.parametrize(
    "words", [(), ("chunk_size=2",), ("chunk_sizes=1,2",), ("by_wavelength=True",), ("by_detector=True",)]
)
def test_split_parts_hold_everything_once(lists, words):
    parts = list(split.split(*lists, parse(split.Params, words)))
    for part in parts:
        consistent(part.experiments, part.reflections)
    assert list(itertools.chain(*(p.experiments.identifiers for p in parts))) == lists[0].identifiers
    joined = np.concatenate([p.reflections["xyzobs.px.value"] for p in parts])
    assert sorted(map(tuple, joined)) == sorted(map(tuple, lists[1]["xyzobs.px.value"]))


def test_split_by_shared_sweep_gives_unindexed_spots_to_the_first(lists):
    experiments, table = lists
    twins = experiments.with_experiments([experiments[0], experiments[0].evolve(identifier="twin")])
    parts = list(split.split(twins, table.select(table["imageset_id"] == 0), split.Params()))
    assert [int(np.count_nonzero(p.reflections["id"] < 0)) for p in parts] == [5, 0]


def test_chunks_must_add_up(lists):
    with pytest.raises(ParameterError, match="add up to 4, not to 3"):
        list(split.split(*lists, parse(split.Params, ["chunk_sizes=2,2"])))


def test_slice_keeps_frame_coordinates_and_cuts_scan_points(lists):
    experiments, table = lists
    points = np.array([experiments[0].crystal.A * (1 + 1e-4 * k) for k in range(101)])
    first = experiments[0].evolve(crystal=experiments[0].crystal.with_A(points[0], A_at_scan_points=points))
    experiments = experiments.with_experiments([first, experiments[1], experiments[2]])
    sliced, kept = slicing.slice_list(experiments, table, [[(11, 30)], [(1, 100)], [(51, 100)]])
    consistent(sliced, kept)
    assert sliced.identifiers == experiments.identifiers
    assert np.array_equal(sliced[0].crystal.A_at_scan_points, points[10:31])
    assert sliced[0].scan.oscillation == pytest.approx((21.0, 0.1))
    assert np.count_nonzero(kept["imageset_id"] == 1) == 30


def test_blocks_cover_every_image_and_spot_once(lists):
    experiments, table = lists
    ranges = slicing.pieces(experiments, parse(slicing.Params, ["block_size=3"]))
    assert ranges[0] == [(1, 33), (34, 66), (67, 100)]
    sliced, kept = slicing.slice_list(experiments, table, ranges)
    consistent(sliced, kept)
    assert len(set(sliced.identifiers)) == 9
    assert len(sliced.unique("beam")) == 1
    inside = table["xyzobs.px.value"][:, 2] < 100
    assert len(kept) == np.count_nonzero(inside)


def test_a_spot_at_the_boundary_belongs_to_the_image_that_begins_there(lists):
    experiments, table = lists
    one = table.select(np.flatnonzero(table["id"] == 0)[:2])
    one["xyzobs.px.value"] = np.array([[5.0, 5.0, 30.0], [5.0, 5.0, 10.0]])  # ends of images 30 and 10
    _, kept = slicing.slice_list(experiments, one, [[(11, 30)], [(1, 100)], [(1, 100)]])
    assert kept["xyzobs.px.value"][:, 2].tolist() == [10.0]


def test_every_tenth_image_left_out(lists):
    assert slicing.without_multiples(lists[0][0].scan, 30) == [(1, 29), (31, 59), (61, 89), (91, 100)]


def test_a_range_outside_the_sweep_is_refused(lists):
    with pytest.raises(MxdaskError, match="not inside"):
        slicing.slice_list(*lists, [[(1, 101)]] * 3)


def test_combine_shares_equal_models_and_refuses_different_ones():
    experiments, table = several(3, 20, shared=False)
    assert len(experiments.unique("detector")) == 3
    ((addition, joined, kept),) = combine.combine(experiments, table, combine.Params())
    assert addition == ""
    assert len(joined.unique("detector")) == len(joined.unique("beam")) == 1
    consistent(joined, kept)
    moved = modify.modify(experiments, parse(modify.Params, ["shift=1,0,0", "select_experiments=1"]))
    with pytest.raises(MxdaskError, match="detector of sweep1 differs"):
        combine.combine(moved, table, parse(combine.Params, ["reference_from_experiment.detector=0"]))
    words = ["reference_from_experiment.detector=0", "compare_models=False"]
    ((_, forced, _),) = combine.combine(moved, table, parse(combine.Params, words))
    assert forced[1].detector is moved[0].detector


def test_combine_batches_subsets_and_limits(lists):
    batches = combine.combine(*lists, parse(combine.Params, ["max_batch_size=2"]))
    assert [(a, e.identifiers) for a, e, _ in batches] == [("_0", ["id-sweep0", "id-sweep1"]), ("_1", ["id-sweep2"])]
    experiments, table = lists
    fewer = table.select((table["id"] != 1) | (np.arange(len(table)) % 2 == 0))
    words = ["n_subset=2", "n_subset_method=n_refl"]
    ((_, best, kept),) = combine.combine(experiments, fewer, parse(combine.Params, words))
    assert best.identifiers == ["id-sweep0", "id-sweep2"]
    consistent(best, kept)
    with pytest.raises(MxdaskError, match="no experiment is left"):
        combine.combine(experiments, table, parse(combine.Params, ["min_reflections_per_experiment=99"]))


def test_combine_by_clusters_of_cells(lists):
    experiments, table = lists
    odd = experiments[2].crystal.with_A(experiments[2].crystal.A * 0.7)
    mixed = experiments.with_experiments([experiments[0], experiments[1], experiments[2].evolve(crystal=odd)])
    ((addition, joined, kept),) = combine.combine(mixed, table, parse(combine.Params, ["clustering.use=True"]))
    assert addition == "_cluster1"
    assert joined.identifiers == ["id-sweep0", "id-sweep1"]
    consistent(joined, kept)


def test_flag_expressions():
    flags = [Flag.INDEXED, Flag.INDEXED | Flag.OVERLOADED, Flag.STRONG, Flag.INTEGRATED, Flag.INTEGRATED_SUM]
    table = ReflectionTable({"flags": np.array([int(f) for f in flags])})
    for text, expected in (
        ("indexed & ~overloaded", [0]),
        ("not (indexed or strong)", [3, 4]),
        ("integrated", [3]),
        ("integrated_sum | strong", [2, 3, 4]),
    ):
        assert np.flatnonzero(evaluate(text, table)).tolist() == expected
    with pytest.raises(ParameterError, match="did you mean overloaded"):
        evaluate("overlaoded", table)
    for bad in ("indexed &", "indexed + strong", "__import__('os')"):
        with pytest.raises(ParameterError):
            evaluate(bad, table)


def test_resolution_ice_and_dead_time_filters():
    table = ReflectionTable({"d": np.array([3.895, 3.0, 1.9, 50.0]), "id": np.zeros(4, int)})
    kept = filtering.filter_reflections(table, parse(filtering.Params, ["d_min=2", "d_max=20"]))
    assert kept["d"].tolist() == [3.895, 3.0]
    ice = filtering.on_ice(table["d"], filtering.IceRings())
    assert ice[0] and not ice[1] and not ice[3]
    z = np.linspace(0, 3, 31)
    brute = [np.mean(np.mod(np.linspace(0, x, 100001)[1:], 1) > 0.8) * x for x in z]
    assert np.allclose(filtering._dead_until(z, 0.2), brute, atol=1e-4)


def test_new_identifiers(lists):
    new, table = assign_identifiers(*lists, ["a", "b", "c"])
    assert new.identifiers == ["a", "b", "c"]
    consistent(new, table)
    with pytest.raises(ParameterError, match="2 identifiers for 3"):
        assign_identifiers(*lists, ["a", "b"])


def test_merge_and_sort_tables(lists):
    experiments, table = lists
    parts = [select_experiments(experiments, table, [row])[1] for row in range(3)]
    joined = tables.merge_tables(parts, "extend")
    assert joined.identifiers == {0: "id-sweep0", 1: "id-sweep1", 2: "id-sweep2"}
    assert np.bincount(joined["id"][joined["id"] >= 0]).tolist() == [25, 25, 25]
    by_hkl = tables.sorted_table(table, "miller_index")["miller_index"].tolist()
    assert by_hkl == sorted(table["miller_index"].tolist())
    assert tables.sorted_table(table, "miller_index", reverse=True)["miller_index"].tolist() == by_hkl[::-1]
    with pytest.raises(MxdaskError, match="same rows"):
        tables.merge_tables([table, parts[0]], "update")


@pytest.mark.parametrize("slow", [(0, -1, 0), (0, 1, 0)])
def test_distance_grows_away_from_the_sample_whichever_way_the_panel_faces(lists, slow):
    panel = Panel((1, 0, 0), slow, (-100.0, -100.0 * slow[1], -150.0), (2000, 2000), (0.1, 0.1))
    assert np.array_equal(panel.outward, (0, 0, -1))
    experiments = lists[0].with_experiments([lists[0][0].evolve(detector=Detector((panel,)))])
    (new,) = modify.modify(experiments, parse(modify.Params, ["distance=200"]))
    np.testing.assert_allclose(new.detector[0].origin, panel.origin - [0, 0, 50])


def test_modified_geometry(lists):
    experiments, _ = lists
    words = ["geometry.beam.wavelength=1.1", "distance=200", "fast_slow_beam_centre=900,1010", "first_image=11"]
    new = modify.modify(experiments, parse(modify.Params, words))
    assert len(new.unique("detector")) == 1
    panel, beam = new[0].detector[0], new[0].beam
    assert beam.wavelength == 1.1
    assert abs(panel.distance) == pytest.approx(200)
    assert panel.ray_mm(beam.s0[None])[0][0] / panel.pixel_size == pytest.approx([900, 1010])
    assert new[0].scan.image_range == (11, 110)
    assert experiments[0].scan.image_range == (1, 100)
