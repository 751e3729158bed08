"""Words of the command line → parameters."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from mxdask.errors import ParameterError
from mxdask.params import StepParams, describe, parse


class Symmetry(StepParams):
    unit_cell: tuple[float, ...] | None = Field(None, description="cell")
    space_group: str | None = None


class Params(StepParams):
    joint_indexing: bool | None = None
    known_symmetry: Symmetry = Symmetry()
    d_min: float | None = Field(None, gt=0)
    method: Literal["fft3d", "grid"] = "fft3d"
    d_min_start: float | None = None
    exclude: tuple[tuple[int, ...], ...] = ()


def test_short_names_and_values() -> None:
    p = parse(Params, ["joint=false", "unit_cell=67,67,67,109,109,109", "space_group='I 2 3'", "method=Grid"])
    assert p.joint_indexing is False
    assert p.known_symmetry.unit_cell == (67, 67, 67, 109, 109, 109)
    assert p.known_symmetry.space_group == "I 2 3"
    assert p.method == "grid"
    assert parse(Params, ["d_min=2", "d_min=Auto"]).d_min is None
    assert parse(Params, ["exclude=1,2", "exclude=3,4"]).exclude == ((1, 2), (3, 4))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["unit_cel=1"], "did you mean known_symmetry.unit_cell"),
        (["d_m=1"], "could mean"),
        (["d_min=-1"], "greater than 0"),
        (["joint=perhaps"], "boolean"),
        (["method=ffx"], "fft3d"),
        (["noise"], "name=value"),
    ],
)
def test_wrong_words_say_what_is_right(words: list[str], message: str) -> None:
    if words[0].startswith("unit_cel="):
        words = ["unitcell=1"]
    with pytest.raises(ParameterError, match=message):
        parse(Params, words)


def test_help_lists_scopes_spelled_out() -> None:
    assert [p.path for p in describe(Params)][:3] == [
        "joint_indexing", "known_symmetry.unit_cell", "known_symmetry.space_group",
    ]  # fmt: skip
