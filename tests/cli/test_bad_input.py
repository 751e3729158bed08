"""Wrong files and places on the command line: one clear line, exit code 1 or 2, nothing lost."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nxmx_writer import write_data, write_master

from mxdask.cli import main
from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.io.atomic import replacing
from mxdask.io.expt import read_expt
from mxdask.io.refl import write_refl
from mxdask.params import parse
from mxdask.pipeline_params import Params
from mxdask.rundir import RunDirectory
from mxdask.step_input import check_input, check_steps
from mxdask.table import ReflectionTable

LATER_STEPS = ("refine", "integrate", "cosym", "symmetry", "scale", "merge", "export")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One imported sweep of six small images, and a table without rows."""
    folder = tmp_path_factory.mktemp("input")
    write_data(folder / "d.h5", np.zeros((6, 20, 30), "uint16"))
    write_master(folder / "good.nxs", [("d.h5", 6)], (20, 30), "uint16")
    assert main(["import", str(folder / "good.nxs"), "--output-dir", str(folder)]) == 0
    (identifier,) = read_expt(folder / "imported.expt").identifiers
    write_refl(folder / "none.refl", ReflectionTable({"id": np.zeros(0, np.int32)}, {0: identifier}))
    return folder


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "internal error" not in line
    return line


@pytest.mark.parametrize("step", LATER_STEPS)
def test_a_table_without_rows(folder: Path, tmp_path: Path, step: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [step, str(folder / "imported.expt"), str(folder / "none.refl"), "--output-dir", str(tmp_path)]
    assert main(words) == 1
    assert "no reflections" in said(capsys)


def test_a_table_given_twice(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = str(folder / "none.refl")
    assert main(["refine", str(folder / "imported.expt"), table, table, "--output-dir", str(tmp_path)]) == 1
    assert "none.refl: given twice" in said(capsys)


@pytest.mark.parametrize(
    ("step", "model"), [("find_spots", "detector"), ("index", "beam"), ("refine", "detector"), ("integrate", "scan")]
)
def test_an_experiment_without_a_model(folder: Path, step: str, model: str) -> None:
    (experiment,) = read_expt(folder / "imported.expt")
    experiments = type(read_expt(folder / "imported.expt"))([experiment.evolve(**{model: None})])
    with pytest.raises(MxdaskError, match=f"good: the experiment has no {model}"):
        check_input(step, experiments, None)


def test_a_table_of_a_step_too_early(folder: Path) -> None:
    table = ReflectionTable({"id": np.zeros(3, np.int32)})
    for step, before in (("index", "find_spots"), ("integrate", "index"), ("merge", "integrate")):
        with pytest.raises(MxdaskError, match=f"run `mxdask {before}` first"):
            check_input(step, read_expt(folder / "imported.expt"), table)


def test_import_of_some_bad_files_ends_with_code_1(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", str(folder / "good.nxs"), str(folder / "absent.nxs"), "--output-dir", str(tmp_path)]
    assert main(words) == 1
    assert "absent.nxs: cannot be read" in capsys.readouterr().err
    assert len(read_expt(tmp_path / "imported.expt")) == 1


def test_an_output_folder_that_is_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").touch()
    assert main(["import", str(folder / "good.nxs"), "--output-dir", str(tmp_path / "taken")]) == 1
    assert "taken: cannot be written to" in said(capsys)


@pytest.mark.parametrize(
    "words",
    [["unit_cell=0,0,0,0,0,0"], ["space_group=P999"], ["space_group=I23", "unit_cell=78,78,79,90,90,80"]],
)
def test_parameters_of_later_steps_are_looked_at_first(words: list[str]) -> None:
    params = parse(Params, words)
    assert isinstance(params, Params)
    with pytest.raises(ParameterError):
        check_steps(params)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.refl"
    target.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(FileError, match=r"a\.refl: cannot be written \(No space left"), replacing(target) as temporary:
        temporary.write_text("new")
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.refl"]


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"import": 5}', b'{"import": {"key": "x"}}', b"\xff\xfe", b"{"])
def test_a_damaged_manifest_vouches_for_nothing(tmp_path: Path, content: bytes) -> None:
    run = RunDirectory(tmp_path)
    (tmp_path / ".mxdask").mkdir()
    (tmp_path / ".mxdask" / "manifest.json").write_bytes(content)
    assert not run.is_complete("import", "x")
    for path in run.outputs("import"):
        path.touch()
    run.mark_complete("import", "x")
    assert run.is_complete("import", "x")


def test_a_torn_summary_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"step": "index"})[:9])
    assert main(["report", str(tmp_path)]) == 1
    assert "index.json: not a readable summary" in said(capsys)
