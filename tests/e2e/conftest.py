"""A small simulated data set: three crystals that diffract and one shot that missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mxdask.simulate.params import Beam, Crystals, DetectorKind, SimulatedSet, Sweep
from mxdask.simulate.step import MadeSet, make

SMALL = SimulatedSet(
    name="small",
    seed=5,
    crystals=Crystals(count=4, bad=("c03:blank",)),
    sweep=Sweep(images=21, width=0.2),
    beam=Beam(wavelength=0.9763),
    detector=DetectorKind(size="512", distance=40.0),
)


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> MadeSet:
    """Images and truth of :data:`SMALL`."""
    return make(SMALL, tmp_path_factory.mktemp("small"))


@pytest.fixture
def images(small_set: MadeSet, tmp_path: Path) -> Path:
    """A copy of the images that a test may damage."""
    folder = tmp_path / "images"
    folder.mkdir()
    for file in small_set.truth.parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder
