"""What merged data tell beyond their statistics: crystals that harm, Wilson plot, twinning, radiation damage.

Plain data for the report; the programs of ``assess/`` print the same, with parameters of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.intensity.absence_tables import absence_report
from mxdask.intensity.absences import score_space_groups
from mxdask.intensity.asu import pack
from mxdask.intensity.damage import damage_statistics
from mxdask.intensity.delta_cchalf import leave_one_out
from mxdask.intensity.merged_set import MergedSet
from mxdask.intensity.merging import Merged, Unmerged
from mxdask.intensity.twinning import twin_tests
from mxdask.intensity.wilson import wilson_plot
from mxdask.lattice.space_groups import symmorphic

# How far from exact (degrees) a lattice's symmetry may be for a twin law: the default of the program twinning.
_MAX_DELTA = 3.0
_DAMAGE_SHELLS = 8
# Steps of dose, and pairs of observations: of larger data every k-th reflection tells the same.
_MOST_STEPS = 200
_MOST_PAIRS = 20_000_000


def assessment(
    data: Unmerged, merged: Merged, experiment: np.ndarray, z: np.ndarray, names: Sequence[str], n_residues: float
) -> dict[str, Any]:
    """Tests of one wavelength's data.

    Parameters
    ----------
    experiment, z : (n,) of every observation: row of its experiment, centroid in images from the start of image 1.
    names : of all experiments. n_residues : of the asymmetric unit.
    """
    return {
        "delta_cchalf": _crystals(data, experiment, names),
        "wilson": _wilson(data, merged, n_residues),
        "twinning": _twinning(data, merged),
        "damage": _damage(data, z),
    }


def absences(data: Unmerged, merged: Merged) -> str:
    """Tables of screw axes and of the space groups of the same point group, for the log."""
    seen = np.isfinite(merged.all.mean)
    order = np.argsort(pack(merged.hkl[seen]), kind="stable")
    values = (pack(merged.hkl[seen])[order], merged.all.mean[seen][order], merged.all.sigma[seen][order])
    axes, candidates = score_space_groups(symmorphic(data.space_group), MergedSet(*values))
    chosen = candidates[0].groups[0] if candidates else data.space_group
    return absence_report(axes, candidates, chosen)


def _crystals(data: Unmerged, experiment: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """ΔCC½ (percent) of every crystal that has observations; nothing for a single one."""
    rows, group = np.unique(experiment, return_inverse=True)
    if len(rows) < 2:
        return {}
    found = leave_one_out(data.asu.group, group, data.intensity, data.inverse_d_squared[data.asu.group], len(rows))
    return {
        "crystals": [names[i] for i in rows],
        "delta": _plain(100 * found.delta),
        "cc_half": float(100 * found.cc_half) if np.isfinite(found.cc_half) else None,
    }


def _wilson(data: Unmerged, merged: Merged, n_residues: float) -> dict[str, Any]:
    plot = wilson_plot(merged, data.cell, data.space_group, n_residues)
    if not np.isfinite(plot.b):
        return {}
    return {
        "b": plot.b, "b_esd": plot.b_esd, "ln_k": plot.ln_k, "d_star_sq": _plain(plot.s),
        "ln_ratio": _plain(plot.ln_ratio),
    }  # fmt: skip


def _twinning(data: Unmerged, merged: Merged) -> dict[str, Any]:
    found = twin_tests(merged, data.cell, data.space_group, _MAX_DELTA)
    if found.n_pairs_L == 0:
        return {}
    return {
        "verdict": found.verdict, "mean_abs_L": found.mean_abs_L, "abs_L": _plain(found.abs_L),
        "cumulative_L": _plain(found.cumulative_L),
        "laws": [
            {"operator": w.operator, "n_pairs": w.n_pairs,
             **dict(zip(("r_twin", "alpha_h", "alpha_britton"),
                        _plain(np.array([w.r_twin, w.alpha_h, w.alpha_britton])), strict=True))}
            for w in found.laws
        ],
    }  # fmt: skip


def _damage(data: Unmerged, z: np.ndarray) -> dict[str, Any]:
    """Against the number of the image, which stands for the dose."""
    image = np.maximum(np.ceil(z), 1.0)
    if np.ptp(image) < 2:
        return {}
    n = np.bincount(data.asu.group)
    every = int(np.ceil((n * (n - 1)).sum() / 2 / _MOST_PAIRS))
    if every > 1:
        keep = data.asu.group % every == 0
        hkl = np.where(data.asu.plus[:, None], data.asu.hkl, -data.asu.hkl)[keep]
        data = Unmerged.of(hkl, data.intensity[keep], data.variance[keep], data.cell, data.space_group)
        image = image[keep]
    width = float(max(1, np.ceil(np.ptp(image) / _MOST_STEPS)))
    found = damage_statistics(data, image, _DAMAGE_SHELLS, width)
    return {
        "image": _plain(found.dose), "rcp": _plain(found.rcp), "scp": _plain(found.scp), "rd": _plain(found.rd),
        "completeness": _plain(100 * found.completeness) if every == 1 else [], "every": max(every, 1),
    }  # fmt: skip


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers of six digits, None where there is none."""
    return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values.tolist()]
