"""Mask files and old pickled tables: what is read, and what is refused."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mxdask.errors import FileError
from mxdask.io.base256 import decode_floats, decode_integers
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.flex_pickle import join_size, split_size
from mxdask.io.mask import read_mask, write_mask
from mxdask.io.refl import read_refl


@settings(max_examples=30, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 300))))
def test_pickled_mask_round_trip(tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("mask")
    for name in ("pixels.mask", "pixels.npz"):
        write_mask(folder / name, [mask, ~mask])
        back = read_mask(folder / name)
        assert len(back) == 2
        assert np.array_equal(back[0], mask)
        assert np.array_equal(back[1], ~mask)


@pytest.mark.parametrize("n", [1, 255, 256, 65536, 1096950])
def test_sizes(n: int) -> None:
    assert split_size(join_size(n, b"rest")) == (n, b"rest")


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return subprocess.call, (["touch", "/tmp/should-not-exist"],)


@pytest.mark.parametrize("value", [Evil(), (Evil(),), {"a": print}])
def test_nothing_in_a_pickle_is_run(tmp_path: Path, value: object) -> None:
    path = tmp_path / "evil.mask"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(FileError, match="not allowed"):
        read_mask(path)
    table = tmp_path / "evil.refl"
    table.write_bytes(b"\x80\x02" + b"cdials_array_family_flex_ext\nreflection_table\n)R0" + pickle.dumps(value)[2:])
    with pytest.raises(FileError, match="not allowed"):
        read_refl(table)
    assert not Path("/tmp/should-not-exist").exists()


def test_things_that_are_not_masks(tmp_path: Path) -> None:
    for content in (b"", b"nonsense", pickle.dumps([1, 2]), pickle.dumps(())):
        (tmp_path / "x.mask").write_bytes(content)
        with pytest.raises(FileError, match=r"x\.mask"):
            read_mask(tmp_path / "x.mask")
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    with pytest.raises(FileError, match="bool"):
        read_mask(tmp_path / "x.npy")
    good = tmp_path / "good.mask"
    write_mask(good, [np.ones((4, 4), bool)])
    good.write_bytes(good.read_bytes().replace(b"1111111111111111", b"1111111211111111"))
    with pytest.raises(FileError, match="damaged"):
        read_mask(good)


def test_base_256_numbers() -> None:
    # Spelt out by hand: 0, 10, -1, 5308; then 0.0, 0.75·2^3 = 6 and -0.5·2^-1 = -0.25.
    assert decode_integers(b"\x00\x02\x0a\x82\x01\x03\xbc\x14", 4).tolist() == [0, 10, -1, 5308]
    assert decode_floats(b"\x00\x02\xc0\x02\x03\x82\x80\x82\x01", 3).tolist() == [0.0, 6.0, -0.25]
    with pytest.raises(ValueError, match="bytes"):
        decode_integers(b"\x00\x00", 1)


@pytest.mark.parametrize(
    ("name", "rows", "identifiers"), [("20_25", 9972, ["0", "1"]), ("30", 5308, ["2"]), ("35", 5463, ["3"])]
)
def test_old_table(data_dir: Path, name: str, rows: int, identifiers: list[str]) -> None:
    folder = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled"
    table = read_refl(folder / f"scaled_{name}.refl")
    assert len(table) == rows
    assert list(table.identifiers.values()) == identifiers
    # Consistent with itself: the prediction is near the observation, and |s1| is 1/wavelength.
    shift = np.abs(table["xyzcal.px"] - table["xyzobs.px.value"])[table["intensity.sum.value"] > 1000]
    assert np.median(shift) < 1.0
    beam = read_expt(folder / f"scaled_{name}.expt")[0].beam
    assert beam is not None
    length = np.linalg.norm(table["s1"], axis=1)
    assert np.allclose(length[length > 0], 1 / beam.wavelength, rtol=1e-6)
    assert np.count_nonzero(length) > 0.5 * rows


@pytest.mark.dials
def test_dials_reads_our_mask_and_we_read_its(data_dir: Path, dials: Callable[..., str], tmp_path: Path) -> None:
    dials("import", data_dir / "l_cysteine" / "l-cyst_01_00001.cbf.gz", cwd=tmp_path)
    dials("generate_mask", "imported.expt", "border=3", "output.mask=theirs.mask", cwd=tmp_path)
    (theirs,) = read_mask(tmp_path / "theirs.mask")
    assert theirs.shape == (1679, 1475)
    assert not theirs[:3].any()
    write_mask(tmp_path / "ours.mask", [theirs])
    dials("apply_mask", "imported.expt", "input.mask=ours.mask", "output.experiments=masked.expt", cwd=tmp_path)
    (experiment,) = read_expt(tmp_path / "masked.expt")
    assert experiment.imageset is not None
    assert experiment.imageset.mask is not None
    assert experiment.imageset.mask.endswith("ours.mask")


def test_trusted_range_means_the_same_to_every_dials(data_dir: Path, tmp_path: Path) -> None:
    experiments = read_expt(data_dir / "reflections" / "l_cysteine_4_sweeps_scaled" / "scaled_30.expt")
    write_expt(tmp_path / "out.expt", experiments)
    low, high = experiments[0].detector[0].trusted_range  # type: ignore[index]
    assert f"{low - 0.5}" in (tmp_path / "out.expt").read_text()
    for convention in ("auto", "exclusive", "inclusive"):
        back = read_expt(tmp_path / "out.expt", trusted_range_convention=convention)
        assert back[0].detector[0].trusted_range == (low, high)  # type: ignore[index]
