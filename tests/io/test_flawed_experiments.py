"""One experiment of many whose numbers mean nothing is left out; the others go on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxdask.errors import FileError, MxdaskError
from mxdask.io.expt import read_expt, to_dict
from mxdask.models import Beam, Crystal, Experiment, ExperimentList
from mxdask.table import ReflectionTable, match_to_experiments


def _three() -> dict[str, Any]:
    beams = [Beam(direction=(0, 0, 1), wavelength=1.0 + 0.1 * i) for i in range(3)]
    crystals = [Crystal(np.diag([30.0 + i, 40, 50]), "P 1") for i in range(3)]
    pairs = enumerate(zip(beams, crystals, strict=True))
    return to_dict(ExperimentList([Experiment(f"id{i}", beam=beam, crystal=crystal) for i, (beam, crystal) in pairs]))


def _spoil_crystal(content: dict[str, Any]) -> None:
    content["crystal"][1]["real_space_a"] = [float("nan"), 0, 0]


def _spoil_beam(content: dict[str, Any]) -> None:
    content["beam"][1]["wavelength"] = float("nan")


@pytest.mark.parametrize("spoil", [_spoil_crystal, _spoil_beam])
def test_the_others_go_on(
    spoil: Callable[[dict[str, Any]], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = _three()
    spoil(content)
    path = tmp_path / "a.expt"
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        found = read_expt(path)
    assert found.identifiers == ["id0", "id2"]
    assert [round(e.beam.wavelength, 3) for e in found if e.beam is not None] == [1.0, 1.2]
    (record,) = caplog.records
    assert "a.expt: experiment 1" in record.getMessage()


def test_none_left_is_an_error(tmp_path: Path) -> None:
    content = _three()
    for crystal in content["crystal"]:
        crystal["real_space_a"] = [float("nan"), 0, 0]
    path = tmp_path / "a.expt"
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match=r"a\.expt: experiment 0 .*do not span a cell"):
        read_expt(path)


def test_without_identifiers_nothing_is_left_out(tmp_path: Path) -> None:
    content = _three()
    _spoil_crystal(content)
    for entry in content["experiment"]:
        entry["identifier"] = ""
    path = tmp_path / "a.expt"
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match="experiment 1"):
        read_expt(path)


def test_reflections_without_identifiers_need_the_whole_list() -> None:
    table = ReflectionTable({"id": np.array([0, 1, 2], dtype=np.int32)})
    with pytest.raises(MxdaskError, match=r"of 3 experiments and the \.expt file has 2 that"):
        match_to_experiments(table, ["id0", "id2"])
