"""Refined files of small sets, made once by our chain for all comparisons with DIALS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mxdask.cli import main

KNOWN = ["unit_cell=5.42,8.14,12.03,90,90,90", "space_group=P212121"]


def mxdask(*words: object) -> None:
    assert main([str(w) for w in words]) == 0


@pytest.fixture(scope="session")
def refined(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Callable[[str], Path]:
    """``refined("l_cysteine")`` or ``refined("lyso40_1m")`` is a folder with refined.expt and refined.refl.

    Four small real sweeps; ten simulated images of a crystal that drifts.
    """
    done: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name in done:
            return done[name]
        folder = tmp_path_factory.mktemp(name)
        there = ("--output-dir", folder)
        if name == "l_cysteine":
            mxdask("import", *sorted((data_dir / name).glob("*.cbf.gz")), *there)
        else:
            mxdask("import", data_dir / name / f"{name}_c01.nxs", "image_range=1,10", *there)
        known = KNOWN if name == "l_cysteine" else []
        mxdask("find_spots", folder / "imported.expt", *there)
        mxdask("index", folder / "imported.expt", folder / "strong.refl", *known, *there)
        mxdask("refine", folder / "indexed.expt", folder / "indexed.refl", *there)
        done[name] = folder
        return folder

    return make
