"""Bravais settings of made-up crystals with known symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_sweeps import several

from mxdask.bravais.params import Params
from mxdask.bravais.step import run
from mxdask.errors import ParameterError
from mxdask.flow import Flow
from mxdask.params import parse


def settings(experiments, table, *words):
    with Flow("sync") as flow:
        return run(experiments, table, parse(Params, words), flow=flow)[0]


def test_cubic_crystals_share_one_list_and_every_setting_is_refined():
    experiments, table = several(2, 120)
    (result,) = settings(experiments, table)
    assert result.group.crystals == (0, 1)
    assert result.rows[0].bravais == "cP"
    assert result.rows[-1].bravais == "aP"
    assert set(result.experiments) == set(range(1, len(result.rows) + 1))
    for rows in result.per_crystal.values():
        assert rows[0].rmsd < 0.02  # mm: the noise is 0.1 px of 0.1 mm
        assert rows[0].cell == pytest.approx([78, 78, 78, 90, 90, 90], abs=0.05)
    assert [e.identifier for e in result.experiments[1]] == experiments.identifiers


def test_a_wrong_symmetry_shows_in_the_rmsd():
    experiments, table = several(1, 200)
    crystal = experiments[0].crystal
    a, b, c = crystal.real_space
    bent = crystal.with_A(np.linalg.inv(np.array([a, b * 1.01, c])))
    moved = experiments.with_experiments([experiments[0].evolve(crystal=bent)])
    (result,) = settings(moved, table)  # the spots are cubic, the start is not: refinement has to find that out
    assert result.rows[-1].rmsd < 0.02
    assert result.rows[0].rmsd < 0.02


def test_only_the_crystal_asked_for():
    experiments, table = several(2, 60)
    (result,) = settings(experiments, table, "crystal_id=1")
    assert result.experiments[1].identifiers == ["id-sweep1"]
    with pytest.raises(ParameterError, match=r"crystals 0\.\.1"):
        settings(experiments, table, "crystal_id=2")


def test_a_crystal_without_reflections_is_a_failed_row():
    experiments, table = several(2, 60)
    (result,) = settings(experiments, table.select(table["id"] == 0))
    assert all(row.failure for row in result.per_crystal[1])
    assert not any(row.failure for row in result.per_crystal[0])
    assert result.experiments[1].identifiers == ["id-sweep0"]
