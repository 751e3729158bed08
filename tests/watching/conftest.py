"""A small simulated set to watch: five crystals that diffract and one shot that missed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mxdask.simulate.params import Beam, Crystals, DetectorKind, SimulatedSet, Sweep
from mxdask.simulate.step import make

SET = SimulatedSet(
    name="w",
    seed=11,
    crystals=Crystals(count=6, bad=("c03:blank",)),
    sweep=Sweep(images=21, width=0.2),
    beam=Beam(wavelength=0.9763),
    detector=DetectorKind(size="512", distance=40.0),
)
NAMES = [SET.sweep_name(i) for i in range(SET.crystals.count)]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the images of :data:`SET`."""
    folder = tmp_path_factory.mktemp("watched")
    make(SET, folder)
    (folder / "truth.h5").unlink()
    return folder


def put(made: Path, folder: Path, *names: str) -> Path:
    """Copy sweeps with their times, as a detector would have written them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for file in sorted(made.glob(f"{name}*")):
            shutil.copy2(file, folder / file.name)
    return folder
