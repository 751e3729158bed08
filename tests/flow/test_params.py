"""Words of the command line → parameters."""

from __future__ import annotations

import re
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


class Cut(StepParams):
    d_min: float | None = Field(None, gt=0, description="high")
    d_max: float | None = Field(None, gt=0, description="low")
    cell: tuple[float, float, float] | None = Field(None, description="cell")


class Scoped(StepParams):
    cut: Cut = Cut()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["d_min=3", "d_max=2"], "cut: d_min=3 is not below d_max=2"),
        (["cell=1,2"], "cut.cell=1,2: 2 values are too few"),
        (["cell=1,2,3,4"], "cut.cell=1,2,3,4: tuple should have at most 3 items"),
        (["cell=1,2,x"], "cut.cell=x: input should be a valid number"),
        (["d_min=-1"], "cut.d_min=-1: input should be greater than 0"),
    ],
)
def test_values_that_do_not_fit_are_named(words: list[str], message: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(message)):
        parse(Scoped, words)


def test_help_lists_scopes_spelled_out() -> None:
    assert [p.path for p in describe(Params)][:3] == [
        "joint_indexing", "known_symmetry.unit_cell", "known_symmetry.space_group",
    ]  # fmt: skip


class Preset(StepParams):
    scope: Params = Params(d_min=2.0, known_symmetry=Symmetry(space_group="P 1"))


def test_setting_one_value_of_a_scope_keeps_what_the_scope_presets() -> None:
    p = parse(Preset, ["method=grid"])
    assert p.scope.d_min == 2.0
    assert p.scope.known_symmetry.space_group == "P 1"
    assert p.scope.method == "grid"
