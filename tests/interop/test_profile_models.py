"""predict and create_profile_model next to DIALS', and each other's profile models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mxdask.cli import main
from mxdask.integrate.profile_model import ProfileModel
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl

pytestmark = [pytest.mark.dials, pytest.mark.data, pytest.mark.slow]
Dials = Callable[..., str]


def mxdask(*words: object) -> None:
    assert main([str(w) for w in words]) == 0


@pytest.fixture(scope="module")
def files(refined: Callable[[str], Path]) -> list[Path]:
    folder = refined("lyso40_1m")
    return [folder / "refined.expt", folder / "refined.refl"]


@pytest.fixture(scope="module")
def modelled(files: list[Path], dials: Dials, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """``models_with_profiles.expt``, ours and DIALS'."""
    ours, theirs = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    mxdask("create_profile_model", *files, "--output-dir", ours)
    dials("create_profile_model", *files, cwd=theirs)
    return ours / "models_with_profiles.expt", theirs / "models_with_profiles.expt"


def test_widths_are_those_of_dials(modelled: tuple[Path, Path]) -> None:
    ours, theirs = (ProfileModel.from_dict(read_expt(path)[0].profile) for path in modelled)
    assert ours.sigma_b == pytest.approx(theirs.sigma_b, rel=0.005)
    assert ours.sigma_m == pytest.approx(theirs.sigma_m, rel=0.01)
    assert ours.n_sigma == theirs.n_sigma


def test_predictions_are_those_of_dials(modelled: tuple[Path, Path], dials: Dials, tmp_path: Path) -> None:
    mxdask("predict", modelled[0], "--output-dir", tmp_path)
    shown = dials("show", tmp_path / "predicted.refl", cwd=tmp_path)
    ours = read_refl(tmp_path / "predicted.refl")
    assert f"Reflection list contains {len(ours)} reflections" in shown
    dials("predict", modelled[0], cwd=tmp_path)
    theirs = read_refl(tmp_path / "predicted.refl")
    first, second = (np.lexsort((*t["miller_index"].T, t["entering"])) for t in (ours, theirs))
    for name in ("miller_index", "entering", "panel"):
        assert np.array_equal(ours[name][first], theirs[name][second])
    assert np.abs(ours["xyzcal.px"][first] - theirs["xyzcal.px"][second]).max() < 1e-8


def test_dials_integrates_with_our_profile_model(files: list[Path], dials: Dials, tmp_path: Path) -> None:
    """A width for every image: DIALS takes the lists as they are."""
    mxdask("create_profile_model", *files, "scan_varying=true", "--output-dir", tmp_path)
    path = tmp_path / "models_with_profiles.expt"
    written = json.loads(path.read_text())["profile"][0]
    assert len(written["sigma_b"]) == len(written["sigma_m"]) == 10
    dials("integrate", path, files[1], "create_profile_model=False", "nproc=1", "prediction.d_min=2", cwd=tmp_path)
    theirs = tmp_path / "integrated.expt"
    kept = json.loads(theirs.read_text())["profile"][0]
    assert kept["sigma_m"] == pytest.approx(written["sigma_m"])
    # and back: what DIALS wrote we read, with the same boxes
    mxdask("predict", theirs, "d_min=2", "--output-dir", tmp_path / "ours")
    assert "partiality" in read_refl(tmp_path / "ours/predicted.refl")
