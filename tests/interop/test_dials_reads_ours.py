"""The real DIALS goes on from every file we write, and we go on from every file it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mxdask.cli import main
from mxdask.io.expt import read_expt, write_expt
from mxdask.io.refl import read_refl, write_refl

pytestmark = [pytest.mark.dials, pytest.mark.data, pytest.mark.slow]
Dials = Callable[..., str]

KNOWN = ["unit_cell=5.42,8.14,12.03,90,90,90", "space_group=P212121"]
FEW_SPOTS = ["min_spots.overall=10", "min_spots.per_degree=5"]


def mxdask(*words: object) -> None:
    assert main([str(w) for w in words]) == 0


@pytest.fixture(scope="module")
def images(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "l_cysteine").glob("*.cbf.gz"))


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, images: list[Path]) -> Path:
    """A run of our chain on real images of four small sweeps."""
    folder = tmp_path_factory.mktemp("ours")
    mxdask("process", *images, *KNOWN, "--output-dir", folder)
    return folder


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory, images: list[Path], dials: Dials) -> Path:
    """The same steps done by DIALS."""
    folder = tmp_path_factory.mktemp("theirs")
    dials("import", *images, cwd=folder)
    dials("find_spots", "imported.expt", "nproc=2", cwd=folder)
    dials("index", "imported.expt", "strong.refl", *KNOWN, cwd=folder)
    dials("refine", "indexed.expt", "indexed.refl", "scan_varying=False", cwd=folder)
    dials("integrate", "refined.expt", "refined.refl", *FEW_SPOTS, cwd=folder)
    dials("symmetry", "integrated.expt", "integrated.refl", "space_group=P212121", cwd=folder)
    dials("scale", "symmetrized.expt", "symmetrized.refl", cwd=folder)
    return folder


FILES = ["imported.expt", "strong.refl", "indexed.expt", "indexed.refl", "refined.expt", "refined.refl",
         "integrated.expt", "integrated.refl", "symmetrized.expt", "symmetrized.refl", "scaled.expt",
         "scaled.refl"]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_dials_shows_every_file(ours: Path, dials: Dials, name: str) -> None:
    text = dials("show", ours / name, cwd=ours)
    if name.endswith(".expt"):
        assert len(re.findall(r"^Experiment \d+:", text, re.M)) == 4
    else:
        assert re.search(r"Reflection list contains (\d+) reflections", text)


@pytest.mark.parametrize(
    ("program", "inputs", "arguments", "outputs"),
    [
        ("find_spots", ["imported.expt"], ["nproc=2"], ["strong.refl"]),
        ("index", ["imported.expt", "strong.refl"], KNOWN, ["indexed.expt", "indexed.refl"]),
        ("refine", ["indexed.expt", "indexed.refl"], ["scan_varying=False"], ["refined.expt", "refined.refl"]),
        ("integrate", ["refined.expt", "refined.refl"], FEW_SPOTS, ["integrated.expt", "integrated.refl"]),
        ("symmetry", ["integrated.expt", "integrated.refl"], ["space_group=P212121"], ["symmetrized.refl"]),
        ("cosym", ["integrated.expt", "integrated.refl"], ["space_group=P212121"], ["symmetrized.refl"]),
        ("scale", ["symmetrized.expt", "symmetrized.refl"], [], ["scaled.refl"]),
        # DIALS' html page asks for a twinning analysis, which so few reflections do not carry.
        ("merge", ["scaled.expt", "scaled.refl"], ["output.html=None"], ["merged.mtz"]),
        ("export", ["scaled.expt", "scaled.refl"], [], ["scaled.mtz"]),
    ],
)
def test_dials_goes_on_from_our_step(
    ours: Path, dials: Dials, tmp_path: Path, program: str, inputs: list[str], arguments: list[str], outputs: list[str]
) -> None:
    dials(program, *[ours / n for n in inputs], *arguments, cwd=tmp_path)
    for name in outputs:
        assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("command", "inputs", "arguments", "outputs"),
    [
        ("find_spots", ["imported.expt"], [], ["strong.refl"]),
        ("index", ["imported.expt", "strong.refl"], KNOWN, ["indexed.expt", "indexed.refl"]),
        ("refine", ["indexed.expt", "indexed.refl"], [], ["refined.expt", "refined.refl"]),
        ("integrate", ["refined.expt", "refined.refl"], [], ["integrated.expt", "integrated.refl"]),
        ("cosym", ["integrated.expt", "integrated.refl"], ["space_group=P212121"], ["symmetrized.refl"]),
        ("scale", ["symmetrized.expt", "symmetrized.refl"], [], ["scaled.refl"]),
        ("merge", ["scaled.expt", "scaled.refl"], [], ["merged.mtz"]),
        ("export", ["scaled.expt", "scaled.refl"], [], ["scaled.mtz"]),
    ],
)
def test_we_go_on_from_their_step(
    theirs: Path, tmp_path: Path, command: str, inputs: list[str], arguments: list[str], outputs: list[str]
) -> None:
    mxdask(command, *[theirs / n for n in inputs], *arguments, "--output-dir", tmp_path)
    for name in outputs:
        assert (tmp_path / name).exists()


@pytest.mark.parametrize("name", FILES)
def test_their_files_survive_a_round_trip(theirs: Path, dials: Dials, tmp_path: Path, name: str) -> None:
    """Read a DIALS file, write it: DIALS shows the same."""
    if name.endswith(".expt"):
        write_expt(tmp_path / name, read_expt(theirs / name))
        first, second = (json.loads((folder / name).read_text()) for folder in (theirs, tmp_path))
        for kind in ("beam", "crystal", "goniometer", "profile", "scaling_model", "experiment"):
            for a, b in zip(first[kind], second[kind], strict=True):
                assert a == {k: b[k] for k in a}
    else:
        table = read_refl(theirs / name)
        write_refl(tmp_path / name, table)
        again = read_refl(tmp_path / name)
        for column in table:
            np.testing.assert_array_equal(again[column], table[column])
    shown = [dials("show", folder / name, cwd=tmp_path) for folder in (theirs, tmp_path)]
    assert _without_paths(shown[0]) == _without_paths(shown[1])


def _without_paths(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "/" not in line and "DIALS" not in line)


def test_strong_pixels_equal_on_every_image(ours: Path, theirs: Path) -> None:
    """60 of 60 images: counts in DIALS' log against those in ours."""
    pattern = re.compile(r"Found (\d+) strong pixels on image")
    counts = pattern.findall((theirs / "dials.find_spots.log").read_text())
    assert len(counts) == 60
    assert pattern.findall((ours / "mxdask.find_spots.log").read_text()) == counts
