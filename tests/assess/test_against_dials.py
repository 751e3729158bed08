"""The same scaled files through our programs and those of DIALS; and what is written for whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mxdask.cli import main
from mxdask.io.experiments import load

PROGRAMS = (
    "compute_delta_cchalf",
    "estimate_resolution",
    "merging_statistics",
    "damage_analysis",
    "wilson",
    "twinning",
)


@pytest.fixture
def scaled(data_dir: Path) -> list[str]:
    folder = data_dir / "reflections" / "l_cysteine_4_sweeps_scaled"
    return [str(folder / "scaled_20_25.expt"), str(folder / "scaled_20_25.refl")]


def table(path: Path) -> dict[int, float]:
    return {int(line.split()[0]): float(line.split()[1]) for line in path.read_text().splitlines()}


@pytest.mark.data
@pytest.mark.dials
@pytest.mark.parametrize("options", [["mode=dataset"], ["mode=image_group", "group_size=50", "stdcutoff=1.5"]])
def test_delta_cchalf(scaled: list[str], dials: Callable[..., str], options: list[str], tmp_path: Path) -> None:
    dials("compute_delta_cchalf", *scaled, *options, cwd=tmp_path)
    assert main(["compute_delta_cchalf", *scaled, *options, "--output-dir", str(tmp_path / "ours")]) == 0
    ours, theirs = table(tmp_path / "ours" / "delta_cchalf.dat"), table(tmp_path / "delta_cchalf.dat")
    assert ours.keys() == theirs.keys()
    assert max(abs(ours[k] - theirs[k]) for k in ours) < 5e-6  # 0.0005 %
    left = [load([f / "filtered.expt"], [f / "filtered.refl"]) for f in (tmp_path / "ours", tmp_path)]
    assert left[0][0].identifiers == left[1][0].identifiers
    valid = [[e.scan.valid_image_ranges.get(e.identifier) for e in expt] for expt, _ in left]
    if options[0] == "mode=image_group":
        for a, b in zip(*valid, strict=True):
            assert (a is None) == (b is None)
            assert a is None or [tuple(r) for r in a] == [tuple(r) for r in b]


@pytest.mark.data
@pytest.mark.dials
def test_damage_analysis(scaled: list[str], dials: Callable[..., str], tmp_path: Path) -> None:
    dials("damage_analysis", *scaled, "json=theirs.json", cwd=tmp_path)
    assert main(["damage_analysis", *scaled, "--output-dir", str(tmp_path)]) == 0
    theirs = json.loads((tmp_path / "theirs.json").read_text())["dose_plots"]
    ours = json.loads((tmp_path / "damage_analysis.json").read_text())
    # Theirs begins one step before the first dose.
    for name, key in (("rcp_vs_dose", "rcp"), ("scp_vs_dose", "scp"), ("completeness_vs_dose", "completeness")):
        np.testing.assert_allclose(theirs[name]["data"][0]["y"][1:], ours[key], atol=2e-3, err_msg=name)
    np.testing.assert_allclose(theirs["rd_vs_batch_difference"]["data"][0]["y"][:-1], ours["rd"], atol=1e-9)


@pytest.mark.data
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_writes_a_page_and_numbers(program: str, scaled: list[str], tmp_path: Path) -> None:
    assert main([program, *scaled, "--output-dir", str(tmp_path)]) == 0
    assert "<svg" in (tmp_path / f"{program}.html").read_text()
    assert json.loads((tmp_path / f"{program}.json").read_text())
    assert (tmp_path / f"mxdask.{program}.log").exists()


@pytest.mark.data
def test_unmerged_mtz_files_give_the_same_statistics(scaled: list[str], tmp_path: Path) -> None:
    assert main(["export", *scaled, "--output-dir", str(tmp_path)]) == 0
    assert main(["merging_statistics", *scaled, "--output-dir", str(tmp_path / "refl")]) == 0
    assert main(["merging_statistics", str(tmp_path / "scaled.mtz"), "--output-dir", str(tmp_path / "mtz")]) == 0
    refl, mtz = (json.loads((tmp_path / k / "merging_statistics.json").read_text())["overall"] for k in ("refl", "mtz"))
    assert abs(refl["n_obs"] - mtz["n_obs"]) <= 0.002 * refl["n_obs"]
    for name in ("Rmerge", "Rmeas", "Rpim", "CC_half", "I_over_sigma", "completeness"):
        assert mtz[name] == pytest.approx(refl[name], rel=0.02), name
    assert main(["compute_delta_cchalf", str(tmp_path / "scaled.mtz"), "--output-dir", str(tmp_path / "mtz")]) == 0
    assert len(table(tmp_path / "mtz" / "delta_cchalf.dat")) == 2


@pytest.mark.data
def test_bad_input_is_one_clear_line(
    data_dir: Path, scaled: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.mtz"
    bad.write_text("nothing")
    assert main(["merging_statistics", str(bad)]) == 1
    assert "bad.mtz: cannot be read as an MTZ file" in capsys.readouterr().err
    assert main(["merge", *scaled, "--output-dir", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["compute_delta_cchalf", str(tmp_path / "merged.mtz")]) == 1
    assert "unmerged" in capsys.readouterr().err
    assert main(["estimate_resolution", *scaled, "space_group=P99", "--output-dir", str(tmp_path)]) == 2
    assert "no such space group" in capsys.readouterr().err
    assert main(["wilson", *scaled, "d_max=0.1", "--output-dir", str(tmp_path)]) == 1
    assert "Å" in capsys.readouterr().err
