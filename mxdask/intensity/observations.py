"""From a reflection table to corrected observations: filters, corrections, partials (back.md 9)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.table import Flag, ReflectionTable

Choice = Literal["scale", "prf", "sum", "prf+sum"]

# A reflection recorded to this fraction or more is whole: it is not joined with other pieces.
WHOLE = 0.99


@dataclass(frozen=True)
class Filters:
    """What an observation must fulfil.

    Attributes
    ----------
    d_min, d_max : Å; limits excluded, None for no limit.
    partiality_threshold : least recorded fraction, after joining pieces.
    min_isigi : least I/σ(I); None for no limit.
    combine_partials : join the pieces of one reflection (same ``partial_id``).
    exclude_ice_rings : drop reflections with the flag ``in_powder_ring``.
    """

    d_min: float | None = None
    d_max: float | None = None
    partiality_threshold: float = 0.4
    min_isigi: float | None = -5.0
    combine_partials: bool = True
    exclude_ice_rings: bool = False


@dataclass(frozen=True)
class Observations:
    """Corrected intensities, one element per observation, in the order of the table they came from.

    Attributes
    ----------
    row : (n,) i8, row of the table (first piece where pieces were joined).
    experiment : (n,) i4, the ``id`` column.
    hkl : (n, 3) i4, as indexed.
    intensity, variance : (n,) f8, corrected for Lorentz, polarisation, efficiency, partiality and scale as applies.
    d : (n,) Å.
    xyz : (n, 3) px, px, frame; observed centroid.
    partiality : (n,) recorded fraction.
    sum_intensity, sum_variance : (n,) the summed intensities beside the profile-fitted ones (choice ``prf+sum``).
    """

    row: np.ndarray
    experiment: np.ndarray
    hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    d: np.ndarray
    xyz: np.ndarray
    partiality: np.ndarray
    sum_intensity: np.ndarray | None = None
    sum_variance: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.row)

    def select(self, rows: np.ndarray) -> Observations:
        """Observations by boolean mask or index array."""
        changes = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[rows] for k, v in changes.items() if v is not None})


def best_choice(table: ReflectionTable) -> Choice:
    """Scaled intensities if there are any, else both kinds of integrated ones, else sums."""
    if "inverse_scale_factor" in table and "intensity.scale.value" in table:
        return "scale"
    if "intensity.prf.value" in table and np.any(table.has_flags(Flag.INTEGRATED_PRF)):
        return "prf+sum"
    return "sum"


def select_observations(table: ReflectionTable, choice: Choice, filters: Filters | None = None) -> Observations:
    """Usable, corrected observations of a table.

    Parameters
    ----------
    table : integrated or scaled reflections of any number of experiments.
    choice : which intensities: ``scale`` (divided by the inverse scale factor), ``prf``, ``sum``, or ``prf+sum``
        (profile-fitted, with the sums beside them; only reflections that have both).
    filters : default :class:`Filters`.

    Raises
    ------
    MxdaskError : the table has no such intensities.
    """
    filters = filters or Filters()
    for kind in choice.split("+"):
        if f"intensity.{kind}.value" not in table:
            step = "scale" if kind == "scale" else "integrate"
            raise MxdaskError(f"reflections have no {kind} intensities; run `mxdask {step}` first")
    table, row = _usable(table, choice, filters)
    if filters.combine_partials:
        table, first = combine_partials(table, choice.split("+"))
        row = row[first]
    values = {kind: corrected(table, kind) for kind in choice.split("+")}
    intensity, variance = next(iter(values.values()))
    sums = values.get("sum", (None, None)) if choice == "prf+sum" else (None, None)
    n = len(table)
    partiality = table["partiality"] if "partiality" in table else np.ones(n)
    observations = Observations(
        row, table["id"], table["miller_index"], intensity, variance, table["d"], _centroid(table), partiality, *sums
    )
    keep = np.isfinite(intensity) & (variance > 0) & (partiality >= filters.partiality_threshold)
    keep &= table["miller_index"].any(axis=1)  # 0 0 0 is the beam itself: rows that nothing was indexed for
    for value, var in values.values():
        with np.errstate(invalid="ignore"):
            keep &= var > 0
            if filters.min_isigi is not None:
                keep &= value >= filters.min_isigi * np.sqrt(var)
    return observations.select(keep)


def corrected(table: ReflectionTable, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Intensity and variance (n,) with the corrections of their kind.

    ``prf``: I·lp/qe; ``sum``: I·lp/(qe·partiality); ``scale``: I/g.
    """
    factor = 1.0 / table["inverse_scale_factor"] if kind == "scale" else lp_qe_factor(table)
    if kind == "sum" and "partiality" in table:
        factor = factor / table["partiality"]
    return table[f"intensity.{kind}.value"] * factor, table[f"intensity.{kind}.variance"] * factor**2


def lp_qe_factor(table: ReflectionTable) -> np.ndarray:
    """(n,) lp/qe: what a recorded intensity is multiplied with."""
    factor = table["lp"] if "lp" in table else np.ones(len(table))
    return factor / efficiency(table)


def efficiency(table: ReflectionTable) -> np.ndarray:
    """(n,) quantum efficiency of the sensor: ``qe``, or ``dqe`` as older files call it; 1 where nothing is known."""
    for name in ("qe", "dqe"):
        if name in table:
            return table[name]
    return np.ones(len(table))


def combine_partials(table: ReflectionTable, kinds: list[str]) -> tuple[ReflectionTable, np.ndarray]:
    """Join the pieces of reflections that integration cut at block borders.

    Pieces have one ``id`` and ``partial_id``, positive variances and partiality below 0.99. Fractions add; sums and
    their variances add; profile fits (each an estimate of the whole) are averaged with weights I²/V; scaled ones
    with weights 1/V.

    Returns
    -------
    table : the whole reflections and the first row of each joined one, in order.
    row : (m,) which row of the input each of them was.
    """
    everything = np.arange(len(table))
    if "partiality" not in table or "partial_id" not in table:
        return table, everything
    piece = table["partiality"] < WHOLE
    for kind in kinds:
        piece &= table[f"intensity.{kind}.variance"] > 0
    rows = everything[piece]
    key = np.stack([table["id"][rows].astype(np.int64), table["partial_id"][rows].astype(np.int64)])
    _, group, size = np.unique(key, axis=1, return_inverse=True, return_counts=True)
    rows, group = rows[size[group] > 1], group[size[group] > 1]
    if len(rows) == 0:
        return table, everything
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    n = len(first)
    out = table.copy()

    def put(name: str, values: np.ndarray) -> None:
        column = out[name].copy()
        column[rows[first]] = values
        out[name] = column

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(group, values, n)

    put("partiality", total(table["partiality"][rows]))
    for kind in kinds:
        value, variance = table[f"intensity.{kind}.value"][rows], table[f"intensity.{kind}.variance"][rows]
        if kind == "sum":
            new_value, new_variance = total(value), total(variance)
        elif kind == "prf":
            weight = np.where(value != 0, value**2 / variance, 1e-12)
            new_value, new_variance = total(weight * value) / total(weight), total(weight * variance) / total(weight)
        else:
            g = table["inverse_scale_factor"][rows]
            weight = g**2 / variance
            mean, mean_variance = total(weight * value / g) / total(weight), 1.0 / total(weight)
            new_value, new_variance = mean * g[first], mean_variance * g[first] ** 2
        put(f"intensity.{kind}.value", new_value)
        put(f"intensity.{kind}.variance", new_variance)
    dropped = np.zeros(len(table), dtype=bool)
    dropped[rows] = True
    dropped[rows[first]] = False
    return out.select(~dropped), everything[~dropped]


def combine_intensities(
    prf: tuple[np.ndarray, np.ndarray],
    summed: tuple[np.ndarray, np.ndarray],
    raw_sum: np.ndarray,
    i_mid: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Profile-fitted for weak, summed for strong reflections (as in AIMLESS; back.md 9.3).

    Parameters
    ----------
    prf, summed : intensity and variance (n,), both corrected alike.
    raw_sum : (n,) counts of the whole reflection: sum/partiality, before the other corrections.
    i_mid : counts at which both weigh the same; 0 means profile-fitted only, 1 summed only.
    """
    if i_mid == 0:
        return prf
    if i_mid == 1:
        return summed
    weight = 1.0 / (1.0 + (np.maximum(raw_sum, 0.0) / i_mid) ** 3)
    return weight * prf[0] + (1 - weight) * summed[0], weight * prf[1] + (1 - weight) * summed[1]


def i_mid_candidates(raw_sum: np.ndarray) -> list[float]:
    """The midpoints worth trying: none (0, 1), the mean, and powers of ten below the largest intensity."""
    mean = max(10.0, float(np.mean(raw_sum)))
    candidates = [0.0, 1.0, mean]
    value = float(np.max(raw_sum)) / 10.0
    candidates.append(value)
    while value > mean:
        value /= 10.0
        candidates.append(value)
    return candidates


def _usable(table: ReflectionTable, choice: Choice, filters: Filters) -> tuple[ReflectionTable, np.ndarray]:
    """Rows whose flags, variances and resolution allow the choice, before anything is corrected."""
    keep = table["id"] >= 0
    kinds = choice.split("+")
    if "scale" in kinds:
        keep &= ~table.has_flags(Flag.BAD_FOR_SCALING, any=True) & (table["inverse_scale_factor"] > 0)
    if "prf" in kinds:
        keep &= table.has_flags(Flag.INTEGRATED_PRF)
    if "sum" in kinds:
        keep &= table.has_flags(Flag.INTEGRATED_SUM)
    for kind in kinds:
        keep &= table[f"intensity.{kind}.variance"] > 0
    if filters.exclude_ice_rings:
        keep &= ~table.has_flags(Flag.IN_POWDER_RING)
    if filters.d_min is not None:
        keep &= table["d"] > filters.d_min
    if filters.d_max is not None:
        keep &= table["d"] < filters.d_max
    keep &= efficiency(table) > 0
    if "partiality" in table:
        keep &= table["partiality"] > 0
    return table.select(keep), np.flatnonzero(keep)


def _centroid(table: ReflectionTable) -> np.ndarray:
    for name in ("xyzobs.px.value", "xyzcal.px"):
        if name in table:
            return table[name]
    return np.zeros((len(table), 3))
