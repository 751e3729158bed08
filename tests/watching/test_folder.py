"""Which sweeps are in a folder and whether they are complete."""

from __future__ import annotations

import os
import time
from pathlib import Path

import h5py
import pytest

from mxdask.errors import FileError
from mxdask.watching.folder import COMPLETE, DAMAGED, GROWING, PARTIAL, Folder

from .conftest import NAMES, put


def states(folder: Folder) -> dict[str, str]:
    return {s.name: s.state for s in folder.look()}


def test_complete_sweeps_in_the_order_they_were_finished(made: Path, tmp_path: Path) -> None:
    images = put(made, tmp_path, *NAMES[:3])
    for file in images.glob(f"{NAMES[0]}*"):  # the first is written anew, last of all
        os.utime(file, (time.time() - 100, time.time() - 100))
    for name in NAMES[1:3]:
        for file in images.glob(f"{name}*"):
            os.utime(file, (time.time() - 200, time.time() - 200))
    found = Folder(images).look()
    assert [s.name for s in found] == [NAMES[1], NAMES[2], NAMES[0]]
    assert {s.state for s in found} == {COMPLETE}
    assert found[0].files == (str(images / f"{NAMES[1]}.nxs"),)


def test_a_sweep_whose_files_just_changed_is_waited_for(made: Path, tmp_path: Path) -> None:
    images = put(made, tmp_path, NAMES[0])
    os.utime(images / f"{NAMES[0]}_000001.h5")
    assert states(Folder(images, settle=1000)) == {NAMES[0]: GROWING}
    assert states(Folder(images, settle=0)) == {NAMES[0]: COMPLETE}


def test_data_that_are_not_there_yet(made: Path, tmp_path: Path) -> None:
    images = put(made, tmp_path, NAMES[0])
    data = images / f"{NAMES[0]}_000001.h5"
    content = data.read_bytes()
    folder = Folder(images, settle=0)
    data.unlink()
    assert states(folder)[NAMES[0]] == DAMAGED
    data.write_bytes(content[: len(content) // 2])
    (half,) = folder.look()
    assert half.state == DAMAGED
    assert data.name in half.reason
    data.write_bytes(content)
    (whole,) = folder.look()
    assert whole.state == COMPLETE
    assert whole.stamp != half.stamp


def test_a_master_that_promises_more_than_there_is(made: Path, tmp_path: Path) -> None:
    images = put(made, tmp_path, NAMES[0])
    data = images / f"{NAMES[0]}_000001.h5"
    with h5py.File(data, "r+") as file:
        name = next(n for n in _datasets(file))
        shape = file[name].shape
        chunk = file[name].id.read_direct_chunk((0, 0, 0))[1]
        options = {"shape": (0, *shape[1:]), "maxshape": (None, *shape[1:]), "chunks": (1, *shape[1:])}
        growing = file.create_dataset(
            "growing", dtype=file[name].dtype, **options, compression=32008, compression_opts=(0, 2)
        )
        growing.resize(5, axis=0)
        for k in range(5):
            growing.id.write_direct_chunk((k, 0, 0), chunk)
        del file[name]
        file.move("growing", name)
    (sweep,) = Folder(images, settle=0, patience=1000).look()
    assert sweep.state == GROWING
    assert "21 images" in sweep.reason
    (sweep,) = Folder(images, settle=0, patience=0).look()
    assert sweep.state == PARTIAL
    assert sweep.is_ready


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and item.ndim == 3 else None
    )
    return found


def test_subfolders_patterns_and_the_output_folder(made: Path, tmp_path: Path) -> None:
    put(made, tmp_path / "a", NAMES[0])
    put(made, tmp_path / "b", NAMES[0])
    put(made, tmp_path / "out" / "x", NAMES[1])
    (tmp_path / "b" / "junk.nxs").write_bytes(b"")
    found = states(Folder(tmp_path, settle=0, ignored=tmp_path / "out"))
    assert found == {f"a_{NAMES[0]}": COMPLETE, f"b_{NAMES[0]}": COMPLETE, "b_junk": DAMAGED}
    assert states(Folder(tmp_path, ("junk*",), settle=0)) == {"b_junk": DAMAGED}


def test_images_of_one_template_are_one_sweep(tmp_path: Path) -> None:
    for sweep in ("a_1", "a_2"):
        for k in range(3):
            (tmp_path / f"{sweep}_{k + 1:04d}.cbf").write_bytes(b"x")
    found = Folder(tmp_path, settle=0).look()
    assert {s.name: len(s.files) for s in found} == {"a_1": 3, "a_2": 3}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be listed"):
        Folder(tmp_path / "none").look()
