"""Choice between the images a sweep came in and its Zarr store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mxdask.errors import FileError, MxdaskError
from mxdask.images.image_source import with_images_from
from mxdask.io.expt import to_dict, write_expt
from mxdask.models import Beam, Experiment, ExperimentList, ImageSet, Scan


def sweep(template: str, identifier: str = "one", last: int = 5) -> Experiment:
    return Experiment(
        identifier, imageset=ImageSet(template), beam=Beam([0, 0, 1], 1.0), scan=Scan((1, last), (0, 0.1))
    )


def run_with_store(folder: Path, *names: str) -> list[Path]:
    """A run whose sweeps ``NAME_####.cbf`` were converted; only what the stores say of themselves is there."""
    stores = [folder / f"{name}.zarr" for name in names]
    for name, store in zip(names, stores, strict=True):
        store.mkdir()
        original = to_dict(ExperimentList([sweep(str(folder / f"{name}_####.cbf"))]))
        attributes = {"experiment": original, "array_range": [0, 5]}
        (store / "zarr.json").write_text(json.dumps({"attributes": attributes}))
    converted = [sweep(str(store), identifier=store.name) for store in stores]
    write_expt(folder / "converted.expt", ExperimentList(converted), program="test")
    return stores


def templates(experiments: ExperimentList) -> list[str]:
    return [e.imageset.template for e in experiments if e.imageset is not None]


def test_the_store_of_the_sweep_s_images_is_read_when_it_is_there(tmp_path: Path) -> None:
    """Identifiers play no part: indexing gives every lattice one of its own."""
    stores = run_with_store(tmp_path, "a", "b")
    own = [str(tmp_path / "b_####.cbf"), str(tmp_path / "a_####.cbf")]
    given = ExperimentList([sweep(own[0], "lattice 1"), sweep(own[1], "lattice 2")])
    for choice in ("auto", "zarr"):
        assert templates(with_images_from(given, choice, tmp_path)) == [str(stores[1]), str(stores[0])]
    assert templates(with_images_from(given, "images", tmp_path)) == own
    converted = with_images_from(given, "zarr", tmp_path)
    assert templates(with_images_from(converted, "images", None)) == own
    (stores[1] / "zarr.json").unlink()
    assert templates(with_images_from(given, "auto", tmp_path)) == [own[0], str(stores[0])]
    with pytest.raises(FileError, match=r"b\.zarr: no Zarr store there"):
        with_images_from(given, "zarr", tmp_path)
    (stores[1] / "zarr.json").write_text("{}")
    with pytest.raises(FileError, match=r"b\.zarr: not a store of frames"):
        with_images_from(given, "zarr", tmp_path)


def test_lattices_of_a_sweep_share_its_store_and_keep_their_masks(tmp_path: Path) -> None:
    run_with_store(tmp_path, "a")
    mask = tmp_path / "mask.npz"
    mask.write_bytes(b"")
    imageset = replace(sweep(str(tmp_path / "a_####.cbf")).imageset, mask=str(mask), gain=str(tmp_path / "gone.npz"))
    first = sweep("").evolve(imageset=imageset)
    found = with_images_from(ExperimentList([first, first.evolve(identifier="two")]), "zarr", tmp_path)
    assert found[0].imageset is found[1].imageset
    assert found[0].imageset.mask == str(mask) and found[0].imageset.gain is None


def test_a_store_of_a_part_of_the_scan_is_not_its_store(tmp_path: Path) -> None:
    run_with_store(tmp_path, "a")
    longer = ExperimentList([sweep(str(tmp_path / "a_####.cbf"), last=9)])
    assert with_images_from(longer, "auto", tmp_path)[0].imageset is longer[0].imageset
    with pytest.raises(MxdaskError, match=r"images_from=zarr: a is not in converted\.expt"):
        with_images_from(longer, "zarr", tmp_path)


def test_a_copy_that_is_not_there_is_an_error_only_when_asked_for(tmp_path: Path) -> None:
    given = ExperimentList([sweep("sweep_####.cbf")])
    assert templates(with_images_from(given, "auto", tmp_path)) == ["sweep_####.cbf"]
    with pytest.raises(MxdaskError, match="images_from=zarr"):
        with_images_from(given, "zarr", tmp_path)
    with pytest.raises(MxdaskError, match=r"sweep\.zarr: no Zarr store there"):
        with_images_from(ExperimentList([sweep(str(tmp_path / "sweep.zarr"))]), "images", None)
    (tmp_path / "converted.expt").write_text("{")
    assert templates(with_images_from(given, "auto", tmp_path)) == ["sweep_####.cbf"]
