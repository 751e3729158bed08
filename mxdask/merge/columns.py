"""From merged intensities to the columns of an MTZ file (back.md 15.1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.intensity.asu import pack
from mxdask.intensity.merging import Means, Merged, Unmerged, weighted_means
from mxdask.intensity.statistics import half_sets
from mxdask.merge.dials_amplitudes import flat_prior, mean_of_hands, median_intensities, truncate
from mxdask.merge.french_wilson import Truncated, expected_intensities, french_wilson
from mxdask.merge.params import FrenchWilson
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


def amplitude_columns(
    merged: Merged, anomalous: bool, params: FrenchWilson
) -> tuple[list[Column], dict[str, Any]]:  # fmt: skip
    """F SIGF, and F(+) SIGF(+) F(-) SIGF(-) DANO SIGDANO; with counts for the log.

    With ``anomalous`` the two hands are truncated apart; F is that of the mean intensity all the same.

    Raises
    ------
    MxdaskError : too few reflections for a prior, and a flat one is not wanted.
    """
    if len(merged.hkl) < params.min_reflections and not params.fallback_to_flat_prior:
        raise MxdaskError(
            f"{len(merged.hkl)} reflections are too few for French & Wilson's method "
            "(french_wilson.min_reflections); set fallback_to_flat_prior=true or truncate=false"
        )
    mean, plus, minus = (_as_dials if params.implementation == "dials" else _amplitudes)(merged, anomalous, params)
    told = {"n_rejected": mean.n_rejected, "n_amplitudes": len(merged.hkl) - mean.n_rejected}
    columns = [Column("F", "F", mean.amplitude), Column("SIGF", "Q", mean.sigma_amplitude)]
    if plus is None or minus is None:
        return columns, told
    dano = np.where(merged.centric, np.nan, plus.amplitude - minus.amplitude)
    sigma = np.where(merged.centric, np.nan, np.hypot(plus.sigma_amplitude, minus.sigma_amplitude))
    return [
        *columns,
        Column("F(+)", "G", plus.amplitude), Column("SIGF(+)", "L", plus.sigma_amplitude),
        Column("F(-)", "G", minus.amplitude), Column("SIGF(-)", "L", minus.sigma_amplitude),
        Column("DANO", "D", dano), Column("SIGDANO", "Q", sigma),
    ], told  # fmt: skip


Amplitudes = tuple[Truncated, Truncated | None, Truncated | None]


def _amplitudes(merged: Merged, anomalous: bool, params: FrenchWilson) -> Amplitudes:
    """Of all observations, and of the two hands."""
    expected = (
        expected_intensities(merged.all.mean, merged.epsilon, merged.inverse_d_squared)
        if len(merged.hkl) >= params.min_reflections
        else np.full(len(merged.hkl), np.inf)
    )

    def of(means: Means) -> Truncated:
        return french_wilson(means.mean, means.sigma, merged.centric, expected)

    return (of(merged.all), of(merged.plus), of(merged.minus)) if anomalous else (of(merged.all), None, None)


def _as_dials(merged: Merged, anomalous: bool, params: FrenchWilson) -> Amplitudes:
    """What is merged together is truncated together: both hands have one local mean."""
    sides = (merged.plus, merged.minus) if anomalous else (merged.all,)
    mean, sigma = (np.stack([getattr(side, name) for side in sides]) for name in ("mean", "sigma"))
    seen = np.isfinite(mean)
    if seen.sum() < params.min_reflections:
        found = [flat_prior(side.mean, side.sigma) for side in sides]
    else:
        expected = np.ones(mean.shape)
        expected[seen] = median_intensities(mean[seen], np.broadcast_to(merged.inverse_d_squared, mean.shape)[seen])
        found = [truncate(mean[i], sigma[i], merged.centric, expected[i]) for i in range(len(sides))]
    return (mean_of_hands(*found), found[0], found[1]) if anomalous else (found[0], None, None)


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
