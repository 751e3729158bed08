"""Screw axes of crystals brought to one setting."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from mxdask.cosym.space_group import axial_observations, find_space_group
from mxdask.lattice.operators import point_group

CELL = np.array([50.0, 60.0, 70.0, 90.0, 90.0, 90.0])
SETTING = gemmi.SpaceGroup("P 2 2 2")
IDENTITY = np.eye(3, dtype=np.int64)


def crystal(space_group: str, seed: int, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """hkl, intensities of a space group on ``scale``, and variances of 1; every reflection seen with chance ½."""
    rng = np.random.default_rng(seed)
    grid = np.arange(-8, 9)
    hkl = np.array(np.meshgrid(grid, grid, grid)).reshape(3, -1).T
    hkl = hkl[np.any(hkl != 0, axis=1) & (rng.random(len(hkl)) < 0.5)]
    absent = np.asarray(gemmi.SpaceGroup(space_group).operations().systematic_absences(hkl.astype(np.int32)))
    true = np.where(absent, 0.0, scale * (1 + np.abs(hkl).sum(axis=1) % 5))
    return hkl, true + rng.normal(size=len(hkl)), np.ones(len(hkl))


@pytest.mark.parametrize("space_group", ["P 2 2 2", "P 2 2 21", "P 21 21 2", "P 21 21 21"])
def test_screw_axes_of_crystals_of_different_size(space_group: str) -> None:
    lattice = point_group(SETTING)
    sets = [axial_observations(*crystal(space_group, k, scale), lattice) for k, scale in enumerate((50.0, 5.0, 500.0))]
    scores, found = find_space_group([(s, IDENTITY) for s in sets], SETTING, 0.95)
    assert found[0].groups[0].hm == space_group
    assert len(scores) == 3


def test_only_axial_observations_travel() -> None:
    hkl, intensity, variance = crystal("P 2 2 2", 1, 10.0)
    axial = axial_observations(hkl, intensity, variance, point_group(SETTING))
    assert np.all((axial.hkl != 0).sum(axis=1) == 1)
    assert len(axial.hkl) == np.sum((hkl != 0).sum(axis=1) == 1)
    assert len(axial.within(CELL, 20.0).hkl) < len(axial.hkl)
    assert axial.within(CELL, None) is axial


def test_the_setting_of_each_crystal_counts() -> None:
    """Axes b and c exchanged in one of two crystals."""
    swap = np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0]])
    lattice = point_group(SETTING)
    hkl, intensity, variance = crystal("P 2 2 21", 3, 50.0)
    plain = axial_observations(hkl, intensity, variance, lattice)
    turned = axial_observations(hkl @ swap.T, intensity, variance, lattice)
    _, found = find_space_group([(plain, IDENTITY), (turned, np.linalg.inv(swap))], SETTING, 0.95)
    assert found[0].groups[0].hm == "P 2 2 21"
