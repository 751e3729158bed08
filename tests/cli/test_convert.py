"""Images to Zarr and on from there, the source files gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from nxmx_writer import write_data, write_master

from mxdask.cli import main
from mxdask.io.refl import read_refl
from mxdask.simulate.params import quick
from mxdask.simulate.step import make


@pytest.mark.slow
def test_spots_are_the_same_from_a_zarr_store_alone(tmp_path: Path) -> None:
    made = make(quick(), tmp_path / "images")
    masters = [str(m) for m in made.masters]
    assert main(["import", *masters, "--output-dir", str(tmp_path)]) == 0
    assert main(["find_spots", str(tmp_path / "imported.expt"), "--output-dir", str(tmp_path)]) == 0
    assert main(["convert", str(tmp_path / "imported.expt"), "block=7", "--output-dir", str(tmp_path)]) == 0
    shutil.rmtree(tmp_path / "images")
    again = tmp_path / "again"
    assert main(["find_spots", str(tmp_path / "converted.expt"), "--output-dir", str(again)]) == 0
    one, two = read_refl(tmp_path / "strong.refl"), read_refl(again / "strong.refl")
    for column in one:
        np.testing.assert_array_equal(one[column], two[column])


def test_a_missing_source_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make(quick(), tmp_path / "images")
    assert main(["import", str(made.masters[0]), "--output-dir", str(tmp_path)]) == 0
    shutil.rmtree(tmp_path / "images")
    assert main(["convert", str(tmp_path / "imported.expt"), "--output-dir", str(tmp_path)]) == 1
    assert "quick_c01" in capsys.readouterr().err


def test_verify_tells_which_image_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path / "d.h5", np.random.default_rng(1).poisson(3, (6, 20, 30)).astype("uint16"))
    write_master(tmp_path / "m.nxs", [("d.h5", 6)], (20, 30), "uint16")
    imported, converted = str(tmp_path / "imported.expt"), str(tmp_path / "converted.expt")
    options = ["--output-dir", str(tmp_path)]
    assert main(["import", str(tmp_path / "m.nxs"), "input.split=1,6,3", *options]) == 0
    assert main(["convert", imported, "block=2", *options]) == 0
    assert sorted(p.name for p in tmp_path.glob("*.zarr")) == ["m.zarr", "m_4-6.zarr"]
    assert main(["verify", converted, imported, *options]) == 0
    assert "m: 3 images equal its source" in capsys.readouterr().out
    (tmp_path / "m.nxs").unlink()
    assert main(["verify", converted, *options]) == 0
    assert "m: 3 images equal its checksums" in capsys.readouterr().out
    shard = tmp_path / "m_4-6.zarr/frames/c/1/0/0"
    shard.write_bytes(b"x" + shard.read_bytes()[1:])
    assert main(["verify", converted, *options]) == 1
    assert "image 6: " in capsys.readouterr().out
