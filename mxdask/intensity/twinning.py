"""Is the crystal a twin? Tests on merged intensities, without and with a twin operator.

Second moments: Stanley (1972) J. Appl. Cryst. 5, 191; L-test: Padilla & Yeates (2003) Acta Cryst. D59, 1124; H-test:
Yeates (1988) Acta Cryst. A44, 142; Britton plot: Fisher & Sweet (1980) Acta Cryst. A36, 755.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import gemmi
import numpy as np

from mxdask.intensity.asu import AsuMap, map_to_asu, pack
from mxdask.intensity.merging import Merged
from mxdask.lattice.cells import minimum_cell
from mxdask.lattice.metric import lattice_group
from mxdask.lattice.operators import hkl_of, left_cosets, point_group, setting_in

_PER_SHELL = 100
# Shells whose mean I/σ is below this, and everything beyond 10 Å, tell of noise and of solvent rather than of twins.
_SIGNAL = 3.0
_LOW_RESOLUTION = 10.0
# Reflections with larger σ, in units of the mean intensity around them, tell nothing of the distribution.
_LARGEST_ERROR = 0.5
# Twin fractions at which the Britton plot is made, and the part of negative intensities its line is drawn through.
_BRITTON_GRID = np.linspace(0.0, 0.49, 99)
_BRITTON_RANGE = (0.02, 0.2)

UNTWINNED = {"second_moment": 2.0, "second_moment_centric": 3.0, "mean_abs_L": 0.5, "mean_L_squared": 1 / 3}
PERFECT_TWIN = {"second_moment": 1.5, "second_moment_centric": 2.0, "mean_abs_L": 0.375, "mean_L_squared": 0.2}


@dataclass(frozen=True)
class TwinLaw:
    """One operator of the lattice that is none of the crystal, and what it relates.

    Attributes
    ----------
    operator : new indices in terms of the old.
    n_pairs : acentric pairs.
    r_twin : Σ|I₁ - I₂| / Σ(I₁ + I₂); ½ for unrelated intensities, 0 for a perfect twin.
    alpha_h, alpha_britton : twin fraction by the H-test and from the Britton plot.
    """

    operator: str
    n_pairs: int
    r_twin: float
    alpha_h: float
    alpha_britton: float


@dataclass(frozen=True)
class TwinTests:
    """Results; NaN where there were no reflections.

    Attributes
    ----------
    d_min : Å, the resolution used. n_reflections : used.
    second_moment, second_moment_centric : ⟨I²⟩/⟨I⟩², variance of measurement taken off.
    mean_abs_L, mean_L_squared : of n_pairs_L pairs of neighbours.
    abs_L, cumulative_L : (21,) the distribution of |L|.
    laws : possible twin laws.
    """

    d_min: float
    n_reflections: int
    second_moment: float
    second_moment_centric: float
    mean_abs_L: float
    mean_L_squared: float
    n_pairs_L: int
    abs_L: np.ndarray
    cumulative_L: np.ndarray
    laws: tuple[TwinLaw, ...]

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not np.isfinite(self.mean_abs_L):
            return "Too few reflections for a verdict."
        if self.mean_abs_L > 0.48:
            return "The L-test shows no twinning."
        if self.mean_abs_L > 0.44:
            return "The L-test is between untwinned and twinned: slight twinning, or errors larger than thought."
        return "The L-test says that the crystal is twinned."


def twin_tests(merged: Merged, cell: gemmi.UnitCell, space_group: gemmi.SpaceGroup, max_delta: float) -> TwinTests:
    """All tests.

    Parameters
    ----------
    max_delta : degrees, how far from exact a symmetry of the lattice may be.
    """
    z, variance, used = _normalised(merged)
    d_min = float(merged.inverse_d_squared[used].max() ** -0.5) if used.any() else np.nan
    acentric, centric = used & ~merged.centric, used & merged.centric
    L = _neighbour_differences(merged.hkl, z, acentric)
    grid = np.linspace(0.0, 1.0, 21)
    cumulative = np.searchsorted(np.sort(np.abs(L)), grid, side="right") / max(len(L), 1)
    laws = [_law(op, merged, z, acentric, space_group) for op in twin_operators(cell, space_group, max_delta)]
    return TwinTests(
        d_min, int(used.sum()), _second_moment(z, variance, acentric), _second_moment(z, variance, centric),
        float(np.abs(L).mean()) if len(L) else np.nan, float((L**2).mean()) if len(L) else np.nan, len(L),
        grid, cumulative, tuple(law for law in laws if law.n_pairs > 0),
    )  # fmt: skip


def twin_operators(cell: gemmi.UnitCell, space_group: gemmi.SpaceGroup, max_delta: float) -> list[np.ndarray]:
    """(3, 3) matrices W, h' = W·h: one of each coset of the crystal's point group in that of its lattice."""
    P, minimum = minimum_cell(np.array(cell.parameters), space_group.hm[0])
    lattice = setting_in(lattice_group(minimum, max_delta), np.linalg.inv(P))
    return left_cosets(lattice, point_group(space_group))[1:]


def h_test(first: np.ndarray, second: np.ndarray) -> float:
    """Twin fraction from intensities of pairs that a twin law relates: ⟨|H|⟩ = ½ - α, H = (I₁ - I₂)/(I₁ + I₂)."""
    total = first + second
    H = np.abs(first - second)[total > 0] / total[total > 0]
    return float(np.clip(0.5 - np.minimum(H, 1.0).mean(), 0.0, 0.5)) if len(H) else np.nan


def britton(first: np.ndarray, second: np.ndarray) -> float:
    """Twin fraction beyond which untwinning makes intensities negative: the straight part drawn back to zero."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    limit = np.sort(low / np.maximum(low + high, 1e-300))  # the fraction at which the weaker of a pair turns negative
    part = np.searchsorted(limit, _BRITTON_GRID) / (2 * max(len(limit), 1))
    line = (part > _BRITTON_RANGE[0]) & (part < _BRITTON_RANGE[1])
    if line.sum() < 3:
        # All turn negative at once: a perfect twin.
        return float(_BRITTON_GRID[np.argmax(part > _BRITTON_RANGE[0])]) if (part > _BRITTON_RANGE[0]).any() else 0.5
    slope, offset = np.polyfit(_BRITTON_GRID[line], part[line], 1)
    return float(np.clip(-offset / slope, 0.0, 0.5))


def _normalised(merged: Merged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m,) intensities over their mean at this resolution, variances alike, and which to use."""
    seen = np.flatnonzero(np.isfinite(merged.all.mean))
    z, variance = np.full(len(merged.hkl), np.nan), np.full(len(merged.hkl), np.nan)
    used = np.zeros(len(merged.hkl), dtype=bool)
    order = seen[np.argsort(merged.inverse_d_squared[seen], kind="stable")]
    good_so_far = True
    for part in np.array_split(order, max(1, len(order) // _PER_SHELL)):
        intensity = merged.all.mean[part] / merged.epsilon[part]
        mean = intensity.mean() if len(part) else 0.0
        good_so_far &= bool(len(part)) and (merged.all.mean[part] / merged.all.sigma[part]).mean() >= _SIGNAL
        if not good_so_far or mean <= 0:
            break
        z[part] = intensity / mean
        variance[part] = (merged.all.sigma[part] / merged.epsilon[part] / mean) ** 2
        used[part] = (merged.inverse_d_squared[part] > _LOW_RESOLUTION**-2) & (variance[part] < _LARGEST_ERROR**2)
    return z, variance, used


def _second_moment(z: np.ndarray, variance: np.ndarray, rows: np.ndarray) -> float:
    if not rows.any():
        return np.nan
    return float((z[rows] ** 2 - variance[rows]).mean() / z[rows].mean() ** 2)


def _neighbour_differences(hkl: np.ndarray, z: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(p,) L = (I₁ - I₂)/(I₁ + I₂) of reflections whose indices differ by 0 or ±2 each.

    Even steps keep to one class of reflections where a pseudo-translation makes classes strong and weak.
    """
    key, value = pack(hkl[rows]), z[rows]
    order = np.argsort(key)
    key, value = key[order], value[order]
    out = []
    for step in product((-2, 0, 2), repeat=3):
        if step <= (0, 0, 0):
            continue
        wanted = pack(hkl[rows][order] + np.array(step))
        place = np.clip(np.searchsorted(key, wanted), 0, max(len(key) - 1, 0))
        first, second = value, value[place] if len(key) else value
        ok = (key[place] == wanted if len(key) else np.zeros(0, bool)) & (first + second > 0)
        out.append((first[ok] - second[ok]) / (first[ok] + second[ok]))
    return np.clip(np.concatenate(out), -1.0, 1.0)


def _law(op: np.ndarray, merged: Merged, z: np.ndarray, rows: np.ndarray, space_group: gemmi.SpaceGroup) -> TwinLaw:
    """Intensities of reflections and of those a twin law puts upon them."""
    chosen = np.flatnonzero(rows)
    moved = np.rint(merged.hkl[chosen] @ np.asarray(op, dtype=float).T).astype(np.int64)
    both: AsuMap = map_to_asu(np.concatenate([merged.hkl[chosen], moved]), space_group)
    own, mate = both.group[: len(chosen)], both.group[len(chosen) :]
    row_of = np.full(len(both.unique), -1)
    row_of[own] = chosen
    partner = row_of[mate]
    ok = (partner >= 0) & (own < mate)
    first, second = z[chosen[ok]], z[partner[ok]]
    total = float((first + second).sum())
    r_twin = float(np.abs(first - second).sum() / total) if total > 0 else np.nan
    alpha = (h_test(first, second), britton(first, second)) if ok.any() else (np.nan, np.nan)
    return TwinLaw(hkl_of(op), int(ok.sum()), r_twin, *alpha)
