"""Choice between the images a sweep came in and its Zarr store."""

from __future__ import annotations

from pathlib import Path

import pytest

from mxdask.errors import MxdaskError
from mxdask.images.image_source import with_images_from
from mxdask.io.expt import write_expt
from mxdask.models import Beam, Experiment, ExperimentList, ImageSet, Scan


def sweep(template: str) -> Experiment:
    return Experiment(
        identifier="one", imageset=ImageSet(template), beam=Beam([0, 0, 1], 1.0), scan=Scan((1, 5), (0.0, 0.1))
    )


def run_with_store(folder: Path) -> Path:
    store = folder / "sweep.zarr"
    store.mkdir()
    (store / "zarr.json").write_text("{}")
    write_expt(folder / "converted.expt", ExperimentList([sweep(str(store))]), program="test")
    write_expt(folder / "imported.expt", ExperimentList([sweep(str(folder / "sweep_####.cbf"))]), program="test")
    return store


def template(experiments: ExperimentList) -> str:
    assert experiments[0].imageset is not None
    return experiments[0].imageset.template


def test_the_store_beside_the_run_is_read_when_it_is_there(tmp_path: Path) -> None:
    store = run_with_store(tmp_path)
    given = ExperimentList([sweep(str(tmp_path / "sweep_####.cbf"))])
    assert template(with_images_from(given, "auto", tmp_path)) == str(store)
    assert template(with_images_from(given, "zarr", tmp_path)) == str(store)
    assert template(with_images_from(given, "images", tmp_path)) == template(given)
    converted = ExperimentList([sweep(str(store))])
    assert template(with_images_from(converted, "images", tmp_path)) == template(given)
    (store / "zarr.json").unlink()
    assert template(with_images_from(given, "auto", tmp_path)) == template(given)


def test_a_copy_that_is_not_there_is_an_error_only_when_asked_for(tmp_path: Path) -> None:
    given = ExperimentList([sweep("sweep_####.cbf")])
    assert with_images_from(given, "auto", tmp_path) is given or template(
        with_images_from(given, "auto", tmp_path)
    ) == template(given)
    with pytest.raises(MxdaskError, match="images_from=zarr"):
        with_images_from(given, "zarr", tmp_path)
    with pytest.raises(MxdaskError, match="images_from=images"):
        with_images_from(ExperimentList([sweep("sweep.zarr")]), "images", None)
