"""The command as a user types it: help, wrong words, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mxdask.cli import COMMANDS, main
from mxdask.cli.dispatch import sort_words, take_phil_files
from mxdask.cli.parameters import parameters_of
from mxdask.errors import ParameterError
from mxdask.params import describe


def test_help_imports_nothing_heavy() -> None:
    heavy = "[m for m in ('numpy', 'dask', 'numba', 'pydantic') if m in sys.modules]"
    code = f"import sys; from mxdask.cli import main; main(['--help']); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"mxdask {command}" in text
    model = parameters_of(command)
    for p in [] if model is None else describe(model):
        assert p.description, f"{command}: {p.path} has no description"
        assert p.path in text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["indx"], 2, "did you mean index"),
        (["index", "a.expt", "b.refl", "unit_cel_=1"], 2, "no parameter"),
        (["index"], 2, "no .expt file given"),
        (["index", "absent.expt", "absent.refl"], 1, "absent.expt: cannot be read"),
        (["index", "picture.png"], 2, "neither .expt nor .refl"),
        (["process"], 2, "no images given"),
        (["process", "--workers", "none"], 2, "--workers"),
        (["index", "--nonsense"], 2, "no option --nonsense"),
        (["index", "-v"], 2, "no option -v"),
        (["integrate", "a.expt", "a.refl", "mp.nproc=4"], 2, "--workers N"),
        (["index", "a.expt", "a.refl", "output.experiments=b.expt"], 2, "--output-dir DIR"),
        (["index", "a.expt", "absent.phil"], 1, "absent.phil: cannot be read"),
        (["import", "imported.expt"], 2, "import takes image files"),
        (["show", "merged.mtz"], 2, "show takes"),
        (["demo", "a", "b"], 2, "name one folder"),
        (["process", "x.nxs", "--scheduler", "moon"], 2, "--scheduler moon"),
        (["show"], 2, "no file given"),
    ],
)
def test_mistakes_are_one_clear_line(
    words: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == code
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_parameters_from_a_phil_file(tmp_path: Path) -> None:
    path = tmp_path / "index.phil"
    path.write_text("indexing {\n  max_cell = 120\n  known_symmetry.space_group = I 2 3\n}\noutput.log = x.log\n")
    words = sort_words(["a.expt", "a.refl", str(path), "max_cell=90"])
    take_phil_files(words)
    assert words.files == ["a.expt", "a.refl"]
    assert words.assignments == [
        "indexing.max_cell=120", "indexing.known_symmetry.space_group=I 2 3", "output.log=x.log", "max_cell=90",
    ]  # fmt: skip


def test_words_are_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd=name.expt").touch()
    words = sort_words(["odd=name.expt", "d_min=2", "--workers=3", "--scheduler", "sync", "a.refl"])
    assert words.files == ["odd=name.expt", "a.refl"]
    assert words.assignments == ["d_min=2"]
    assert (words.workers, words.scheduler) == (3, "sync")
    (tmp_path / "b.refl").touch()
    (tmp_path / "a.refl").touch()
    assert sort_words(["*.refl", "none_*.nxs"]).files == ["a.refl", "b.refl", "none_*.nxs"]
    with pytest.raises(ParameterError, match="needs a value"):
        sort_words(["--workers"])
