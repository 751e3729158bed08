"""The space group from systematic absences along the axes (back.md 10.6, the direct method)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from scipy.special import ndtr, ndtri

from mxdask.intensity.merged_set import MergedSet
from mxdask.lattice.operators import point_group
from mxdask.lattice.point_groups import axes, rotation_order
from mxdask.lattice.space_groups import symbol, symmorphic

_AXES = "abc"
# Intensity where reflections are expected must be this many times that where none is for a lone outlier to be forgiven.
_OUTLIER_RATIO = 20.0


@dataclass(frozen=True)
class ScrewAxis:
    """One test: reflections along an axis whose index is no multiple of ``repeat`` are absent.

    Attributes
    ----------
    axis : 0, 1, 2 for a, b, c. equivalents : axes that the point group makes the same, this one included.
    order : of the rotation along the axis. repeat : 2, 3, 4 or 6. base : repeat of the lattice centring alone.
    """

    axis: int
    equivalents: tuple[int, ...]
    order: int
    repeat: int
    base: int

    @property
    def name(self) -> str:
        """The screw axis, the right-handed one of an enantiomorphic pair: ``41c`` (4₁ or 4₃), ``42c``, ``21a``."""
        return f"{self.order}{max(1, self.order // self.repeat)}{_AXES[self.axis]}"


@dataclass(frozen=True, eq=False)
class ScrewScore:
    """Evidence for one screw axis.

    Attributes
    ----------
    tested : False where no reflection was measured that could tell; the score is 0 then and decides nothing.
    """

    axis: ScrewAxis
    score: float
    n_present: int
    n_absent: int
    mean_i: float
    mean_i_absent: float
    mean_isigi: float
    mean_isigi_absent: float
    tested: bool = True


@dataclass(frozen=True, eq=False)
class Candidate:
    """A set of conditions, the space groups that have it (lowest number first), and its score."""

    groups: tuple[gemmi.SpaceGroup, ...]
    repeats: tuple[int, ...]
    score: float


def candidates_of(point_setting: gemmi.SpaceGroup) -> dict[tuple[int, ...], tuple[gemmi.SpaceGroup, ...]]:
    """Sohncke groups of a Laue group and centring, by their repeats along a, b and c."""
    return dict(_candidates(point_setting.hm, point_setting.ext))


@lru_cache(maxsize=64)
def _candidates(hm: str, extension: str) -> tuple[tuple[tuple[int, ...], tuple[gemmi.SpaceGroup, ...]], ...]:
    found: dict[tuple[int, ...], list[gemmi.SpaceGroup]] = {}
    for group in gemmi.spacegroup_table():
        if not group.is_sohncke() or group.ext != extension:
            continue
        plain = symmorphic(group)
        if plain.hm == hm and plain.ext == extension:
            found.setdefault(axial_repeats(group), []).append(group)
    # The table also has the same group on other origins: the standard one comes first.
    return tuple((repeats, _standard(groups)) for repeats, groups in found.items())


def _standard(groups: list[gemmi.SpaceGroup]) -> tuple[gemmi.SpaceGroup, ...]:
    """One group for each number, in its plainest symbol, by number."""
    plainest: dict[int, gemmi.SpaceGroup] = {}
    for group in sorted(groups, key=lambda g: (g.number, len(g.hm), g.hm)):
        plainest.setdefault(group.number, group)
    return tuple(plainest.values())


def axial_repeats(group: gemmi.SpaceGroup) -> tuple[int, ...]:
    """For a, b, c the smallest n such that n·a* (and so on) is not absent."""
    operations = group.operations()
    repeats = []
    for axis in range(3):
        hkl = np.zeros((12, 3), dtype=np.int32)
        hkl[:, axis] = np.arange(1, 13)
        present = ~np.asarray(operations.systematic_absences(hkl), dtype=bool)
        repeats.append(int(np.flatnonzero(present)[0]) + 1)
    return tuple(repeats)


def screw_axes(point_setting: gemmi.SpaceGroup) -> list[ScrewAxis]:
    """The tests that tell a Laue group's space groups apart."""
    base = axial_repeats(point_setting)
    orbits = _equivalent_axes(point_setting)
    tests = []
    for axis in range(3):
        if orbits[axis][0] != axis:
            continue
        repeats = {r[axis] for r in candidates_of(point_setting)} - {base[axis]}
        order = _order_along(point_setting, axis)
        wanted = sorted(repeats | _divisors(repeats, base[axis]))
        tests += [ScrewAxis(axis, orbits[axis], order, n, base[axis]) for n in wanted]
    return tests


def _divisors(repeats: set[int], base: int) -> set[int]:
    """Repeats implied by larger ones (6₁ has the absences of 2₁ and 3₁ too) that a test of its own can show."""
    return {d for n in repeats for d in range(base + 1, n) if n % d == 0 and d % base == 0}


def _order_along(group: gemmi.SpaceGroup, axis: int) -> int:
    """Highest order of a rotation about a, b or c."""
    unit = np.eye(3, dtype=np.int64)[axis]
    along = [W for W in point_group(group) if rotation_order(W) > 1 and np.array_equal(axes(W)[0], unit)]
    return max((rotation_order(W) for W in along), default=1)


def _equivalent_axes(group: gemmi.SpaceGroup) -> list[tuple[int, ...]]:
    orbits = []
    for axis in range(3):
        unit = np.zeros(3, dtype=int)
        unit[axis] = 1
        images = {tuple(np.abs(np.array(op.rot).T // op.DEN @ unit)) for op in group.operations().sym_ops}
        orbits.append(tuple(k for k in range(3) if tuple(np.eye(3, dtype=int)[k]) in images))
    return orbits


def score_axis(axis: ScrewAxis, data: MergedSet, significance: float = 0.95) -> ScrewScore:
    """Likelihood of a screw axis from the mean I/σ of axial reflections that should be there and should not.

    Errors of the reflections are taken as fully correlated: the mean's standard error is one.

    Parameters
    ----------
    data : merged in the Laue group, indices in its setting.
    """
    hkl = data.hkl
    index = np.zeros(len(hkl), dtype=np.int64)
    for k in axis.equivalents:
        others = [j for j in range(3) if j != k]
        along = (hkl[:, others] == 0).all(axis=1) & (hkl[:, k] != 0)
        index[along] = np.abs(hkl[along, k])
    used = (index > 0) & (index % axis.base == 0)
    present = used & (index % axis.repeat == 0)
    absent = used & ~present
    ratio, cutoff = data.intensity / data.sigma, float(ndtri(significance))
    if not present.any() or not absent.any():
        disproved = absent.any() and float(ratio[absent].mean()) > cutoff
        return ScrewScore(axis, 0.0, int(present.sum()), int(absent.sum()), 0.0, 0.0, 0.0, 0.0, bool(disproved))
    z_present, z_absent = float(ratio[present].mean()), float(ratio[absent].mean())
    score = _direct_score(z_present, ratio[absent], cutoff)
    return ScrewScore(
        axis, score, int(present.sum()), int(absent.sum()), float(data.intensity[present].mean()),
        float(data.intensity[absent].mean()), z_present, z_absent,
    )  # fmt: skip


def _direct_score(z_present: float, absent: np.ndarray, cutoff: float) -> float:
    z_absent = float(absent.mean())
    p_present = float(ndtr(z_present))
    if z_absent > cutoff:
        without_highest = np.sort(absent)[:-1]
        forgiven = z_present > _OUTLIER_RATIO * z_absent and (
            len(without_highest) == 0 or float(without_highest.mean()) <= cutoff
        )
        if not forgiven:
            return (1.0 - float(ndtr(z_absent))) * p_present
    return p_present if z_present > cutoff else 0.0


def score_space_groups(
    point_setting: gemmi.SpaceGroup, data: MergedSet, significance: float = 0.95
) -> tuple[list[ScrewScore], list[Candidate]]:
    """Screw axes, and space groups by the product of scores of axes they have and 1 - score of those they lack.

    An axis that could not be tested has no say. The likeliest comes first; ties go to the group with fewer screws, then
    to the lower number.
    """
    scores = [score_axis(axis, data, significance) for axis in screw_axes(point_setting)]
    telling = [a for a in scores if a.tested]
    candidates = []
    for repeats, groups in candidates_of(point_setting).items():
        factors = [a.score if repeats[a.axis.axis] % a.axis.repeat == 0 else 1.0 - a.score for a in telling]
        candidates.append(Candidate(groups, repeats, float(np.prod(factors))))
    candidates.sort(key=lambda c: (-round(c.score, 12), sum(c.repeats), c.groups[0].number))
    return scores, candidates


def candidate_names(candidate: Candidate) -> list[str]:
    """Symbols of the groups that share a candidate's absences."""
    return [symbol(group) for group in candidate.groups]
