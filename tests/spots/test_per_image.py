"""Counts and resolution of single images, bad and hot pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mxdask.flow import Flow
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.models import Experiment
from mxdask.spots.hot_masks import hot_from_spots
from mxdask.spots.per_image import SpotData, count, counts_per_image, spot_data
from mxdask.spots.resolution import distl_method_1, distl_method_2, resolution_from_intensities, wilson_outliers
from mxdask.spots.tool_params import BadParams
from mxdask.table import ReflectionTable, Shoeboxes


def made_up(n: int, d_min: float, seed: int = 0) -> SpotData:
    """Spots evenly in the volume of reciprocal space down to d_min, weaker the farther."""
    rng = np.random.default_rng(seed)
    d_star_sq = (rng.uniform(0.001, d_min**-3, n)) ** (2 / 3)
    intensity = 1000 * np.exp(-10 * d_star_sq) * rng.exponential(size=n) + 5
    return SpotData(rng.integers(0, 4, n), d_star_sq, intensity, intensity, np.zeros(n, bool))


def test_resolution_of_made_up_spots():
    data = made_up(500, 2.0)
    d_star = np.sqrt(data.d_star_sq)
    none = np.zeros(500, bool)
    assert resolution_from_intensities(data.d_star_sq, data.intensity, data.variance, none) == pytest.approx(2, abs=0.1)
    assert distl_method_2(d_star)[0] == pytest.approx(2.0, abs=0.1)


def test_few_spots_have_no_resolution():
    data = made_up(8, 2.0)
    assert count(data).estimated_d_min is None
    assert distl_method_1(np.sqrt(data.d_star_sq)) is None
    assert distl_method_2(np.sqrt(data.d_star_sq)) is None


def test_ice_spots_are_counted_apart():
    data = made_up(40, 3.0)
    ice = SpotData(data.z, data.d_star_sq, data.intensity, data.variance, np.arange(40) < 10)
    counts = count(ice)
    assert counts.n_spots_total == 40
    assert counts.n_spots_no_ice == 30
    assert counts.total_intensity == pytest.approx(data.intensity[10:].sum())
    assert counts.n_spots_4A == np.count_nonzero(data.d_star_sq**-0.5 > 4)


def test_images_add_up():
    data = made_up(300, 2.0)
    images = counts_per_image(data, (-1, 6))
    assert len(images) == 7
    assert images[0].n_spots_total == 0
    assert sum(c.n_spots_total for c in images) == 300
    assert sum(c.total_intensity for c in images) == pytest.approx(count(data).total_intensity)


def test_wilson_outliers():
    intensity = np.ones(50)
    intensity[3] = 1000.0
    np.testing.assert_array_equal(np.flatnonzero(wilson_outliers(intensity, np.zeros(50, bool))), [3])


@pytest.mark.dials
@pytest.mark.data
def test_same_numbers_as_dials(dials, data_dir, tmp_path):
    master = data_dir / "lyso40_1m" / "lyso40_1m_c01.nxs"
    dials("import", master, "image_range=1,10", cwd=tmp_path)
    dials("find_spots", "imported.expt", "nproc=1", cwd=tmp_path)
    dials("spot_counts_per_image", "imported.expt", "strong.refl", "json=counts.json", cwd=tmp_path)
    expected = json.loads((tmp_path / "counts.json").read_text())
    experiment = read_expt(tmp_path / "imported.expt")[0]
    images = counts_per_image(spot_data(experiment, read_refl(tmp_path / "strong.refl")), experiment.scan.array_range)
    assert len(images) == len(expected["n_spots_total"]) == 10
    for name, values in expected.items():
        ours = [getattr(image, name) for image in images]
        np.testing.assert_allclose(ours, values, rtol=1e-9, err_msg=name)


@pytest.mark.data
def test_bad_pixels_of_simulated_images(data_dir):
    """The same five pixels as dials.find_bad_pixels finds on all six sweeps."""
    from mxdask.importing.params import Params as ImportParams
    from mxdask.importing.step import run as import_images
    from mxdask.spots.bad_pixels import bad_pixels

    with Flow("sync") as flow:
        experiments, _ = import_images([data_dir / "ins6_1m" / "ins6_1m_c05.nxs"], ImportParams(), flow=flow)
        found = bad_pixels(experiments[0], BadParams(), flow=flow)
        few = bad_pixels(experiments[0], BadParams(images=(1, 7, 30, 50)), flow=flow)
    expected = {(0, 599, 981), (0, 875, 810), (0, 891, 864), (0, 924, 325), (0, 1052, 60)}
    assert expected <= set(found)
    assert expected <= set(few)


def test_hot_pixels_are_strong_on_every_image():
    from tests.spots.test_find_spots import make_experiment

    experiment: Experiment = make_experiment(3)
    bbox = np.array([[4, 6, 7, 8, 0, 3], [1, 2, 1, 2, 0, 2]], np.int32)
    mask = np.array([5, 5, 5, 0, 5, 5, 5, 5], np.int32)  # (4, 7) on all three images, (5, 7) not on the second
    boxes = Shoeboxes(
        np.zeros(2, np.uint32), bbox, np.array([0, 6, 8]), mask.astype(np.float32), mask, np.zeros(8, np.float32)
    )
    table = ReflectionTable({"panel": np.zeros(2, np.uint64), "bbox": bbox, "id": np.zeros(2, np.int32)})
    table.shoeboxes = boxes
    assert hot_from_spots(experiment, table) == [(0, 7, 4)]
