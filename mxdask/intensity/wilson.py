"""Wilson plot: overall scale and B from mean intensities and the atoms of a protein (Wilson 1942, Nature 150, 152)."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from mxdask.intensity.merging import Merged
from mxdask.intensity.normalisation import fall_off
from mxdask.lattice.operators import point_group

# Atoms of an average residue, and what scatters of the solvent is left out (as everybody does).
_RESIDUE = {"C": 5.0, "N": 1.35, "O": 1.5, "H": 8.0}
# Beyond this resolution the atoms of a protein scatter as if placed at random (Å).
_RANDOM_BEYOND = 4.0
_FEWEST_SHELLS = 5
_PER_SHELL = 100


@dataclass(frozen=True)
class WilsonPlot:
    """Shells and the line through them.

    Attributes
    ----------
    b, b_esd : Å², overall isotropic B of intensities exp(-2B sin²θ/λ²), and its standard error.
    ln_k : ⟨I/ε⟩ = exp(ln_k)·Σf²·exp(-B/2d²).
    s : (p,) 1/d² of the shells, Å⁻².
    ln_ratio : (p,) ln(⟨I/ε⟩/Σf²); NaN where the mean is not positive.
    used : (p,) shells the line goes through.
    b_cart : (3, 3) Å², anisotropic B in Cartesian axes (x along a, z along c*).
    """

    b: float
    b_esd: float
    ln_k: float
    s: np.ndarray
    ln_ratio: np.ndarray
    used: np.ndarray
    b_cart: np.ndarray


def wilson_plot(merged: Merged, cell: gemmi.UnitCell, space_group: gemmi.SpaceGroup, n_residues: float) -> WilsonPlot:
    """Shells of equal numbers, and a line weighted by the number of reflections beyond 4 Å.

    Parameters
    ----------
    n_residues : of the asymmetric unit.
    """
    seen = np.isfinite(merged.all.mean)
    s, intensity = merged.inverse_d_squared[seen], merged.all.mean[seen] / merged.epsilon[seen]
    sigma = merged.all.sigma[seen] / merged.epsilon[seen]
    expected = sum_of_squares(s, n_residues * len(space_group.operations()))
    n_shells = max(_FEWEST_SHELLS, len(s) // _PER_SHELL)
    order = np.argsort(s, kind="stable")
    parts = np.array_split(order, n_shells)
    middle = np.array([s[p].mean() for p in parts])
    ratio, error = np.array([_mean_and_error(intensity[p] / expected[p]) for p in parts]).T
    with np.errstate(divide="ignore", invalid="ignore"):
        ln_ratio = np.where(ratio > 0, np.log(ratio), np.nan)
        weight = np.where(ratio > 3 * error, ratio / error, 0.0)
    used = np.isfinite(ln_ratio) & (weight > 0) & (middle > _RANDOM_BEYOND**-2)
    if used.sum() < _FEWEST_SHELLS:
        used = np.isfinite(ln_ratio) & (weight > 0)
    beyond = s > _RANDOM_BEYOND**-2 if (s > _RANDOM_BEYOND**-2).any() else np.ones(len(s), dtype=bool)
    reciprocal = np.array(cell.frac.mat.tolist()).T
    b_cart = fall_off((intensity / expected)[beyond], (sigma / expected)[beyond], merged.hkl[seen][beyond], reciprocal)
    b_cart = _symmetrised(b_cart, reciprocal, point_group(space_group))
    if used.sum() < 3:
        return WilsonPlot(np.nan, np.nan, np.nan, middle, ln_ratio, used, b_cart)
    design = np.stack([np.ones(int(used.sum())), -0.5 * middle[used]], axis=1) * weight[used, None]
    (ln_k, b), *_ = np.linalg.lstsq(design, ln_ratio[used] * weight[used], rcond=None)
    residual = ln_ratio[used] * weight[used] - design @ [ln_k, b]
    covariance = np.linalg.inv(design.T @ design) * max(residual @ residual / max(int(used.sum()) - 2, 1), 1.0)
    return WilsonPlot(float(b), float(np.sqrt(covariance[1, 1])), float(ln_k), middle, ln_ratio, used, b_cart)


def _symmetrised(tensor: np.ndarray, reciprocal: np.ndarray, ops: np.ndarray) -> np.ndarray:
    """Mean of a tensor (3, 3) over what operators on indices (k, 3, 3) make of it."""
    turned = [reciprocal @ W @ np.linalg.inv(reciprocal) for W in ops]
    return np.asarray(np.mean([M.T @ tensor @ M for M in turned], axis=0))


def sum_of_squares(s: np.ndarray, n_residues: float) -> np.ndarray:
    """(n,) Σf² of the atoms of so many residues at 1/d² (Å⁻²)."""
    total = np.zeros(len(s))
    for name, count in _RESIDUE.items():
        form_factor = gemmi.Element(name).it92
        f = form_factor.get_coefs()
        a, b, c = np.array(f[:4]), np.array(f[4:8]), f[8]
        total += count * (np.exp(-np.outer(s / 4, b)) @ a + c) ** 2
    return n_residues * total


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    if len(values) < 2:
        return np.nan, np.nan
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
