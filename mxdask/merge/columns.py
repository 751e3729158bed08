"""From merged intensities to the columns of an MTZ file (back.md 15.1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mxdask.intensity.asu import pack
from mxdask.intensity.merging import Means, Merged, Unmerged, weighted_means
from mxdask.intensity.statistics import half_sets
from mxdask.merge.french_wilson import Truncated, expected_intensities, french_wilson
from mxdask.merge.result import Column


def intensity_columns(merged: Merged, anomalous: bool) -> list[Column]:
    """IMEAN SIGIMEAN, and I(+) SIGI(+) I(-) SIGI(-) N(+) N(-)."""
    out = [Column("IMEAN", "J", merged.all.mean), Column("SIGIMEAN", "Q", merged.all.sigma)]
    if anomalous:
        plus, minus = merged.plus, merged.minus
        out += [
            Column("I(+)", "K", plus.mean), Column("SIGI(+)", "M", plus.sigma),
            Column("I(-)", "K", minus.mean), Column("SIGI(-)", "M", minus.sigma),
            Column("N(+)", "I", _counts(plus)), Column("N(-)", "I", _counts(minus)),
        ]  # fmt: skip
    else:
        out.append(Column("N", "I", _counts(merged.all)))
    return out


def amplitude_columns(merged: Merged, anomalous: bool) -> tuple[list[Column], dict[str, Any]]:
    """F SIGF, and F(+) SIGF(+) F(-) SIGF(-) DANO SIGDANO; with counts for the log.

    With ``anomalous`` the two hands are truncated apart, and F is their mean where both exist.
    """
    expected = expected_intensities(merged.all.mean, merged.epsilon, merged.inverse_d_squared)

    def truncate(means: Means) -> Truncated:
        return french_wilson(means.mean, means.sigma, merged.centric, expected)

    mean = truncate(merged.all)
    told = {"n_rejected": mean.n_rejected, "n_amplitudes": len(merged.hkl) - mean.n_rejected}
    if not anomalous:
        return [Column("F", "F", mean.amplitude), Column("SIGF", "Q", mean.sigma_amplitude)], told
    plus, minus = truncate(merged.plus), truncate(merged.minus)
    dano = np.where(merged.centric, np.nan, plus.amplitude - minus.amplitude)
    sigma = np.where(merged.centric, np.nan, np.hypot(plus.sigma_amplitude, minus.sigma_amplitude))
    return [
        Column("F", "F", mean.amplitude), Column("SIGF", "Q", mean.sigma_amplitude),
        Column("F(+)", "G", plus.amplitude), Column("SIGF(+)", "L", plus.sigma_amplitude),
        Column("F(-)", "G", minus.amplitude), Column("SIGF(-)", "L", minus.sigma_amplitude),
        Column("DANO", "D", dano), Column("SIGDANO", "Q", sigma),
    ], told  # fmt: skip


def half_columns(data: Unmerged, seed: int) -> list[Column]:
    """IHALF1 SIGIHALF1 NHALF1 and the same for the other half: weighted means of two random halves of every reflection.

    The halves are those of CC½ in the statistics (a hash of reflection and ``seed``).
    """
    group, m = data.asu.group, len(data.asu.unique)
    first = half_sets(group, pack(data.asu.unique)[group], seed) == 0
    out = []
    for i, rows in enumerate((first, ~first), start=1):
        half = weighted_means(group[rows], m, data.intensity[rows], data.variance[rows])
        out += [
            Column(f"IHALF{i}", "J", half.mean), Column(f"SIGIHALF{i}", "Q", half.sigma),
            Column(f"NHALF{i}", "I", half.n.astype(np.float64)),
        ]  # fmt: skip
    return out


def _counts(means: Means) -> np.ndarray:
    return np.where(means.n > 0, means.n.astype(np.float64), np.nan)
