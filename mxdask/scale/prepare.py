"""One crystal's reflections made ready for scaling: joined, corrected, filtered (the map part of the step)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.intensity.observations import combine_partials, corrected, efficiency, lp_qe_factor
from mxdask.models import Experiment
from mxdask.scale.design import Rows, experiment_rows
from mxdask.scale.models import ScalingModel, choose_model
from mxdask.scale.params import Params
from mxdask.table import Flag, ReflectionTable

# What is looked at here; all other columns are handed from the input to the output of the step.
COLUMNS = (
    "id", "miller_index", "flags", "d", "lp", "qe", "dqe", "partiality", "partial_id", "xyzobs.px.value", "xyzcal.px",
    "s1", "intensity.prf.value", "intensity.prf.variance", "intensity.sum.value", "intensity.sum.variance",
)  # fmt: skip

# No counts are larger than this: such a number is damage, and one would spoil the means of all crystals.
_LARGEST = 1e15


@dataclass(frozen=True)
class Whole:
    """One crystal's m reflections after their pieces were joined.

    Attributes
    ----------
    flags : (m,) u8, those of an earlier scaling taken off, those of what cannot be scaled put on.
    kept : (m,) i8, rows of the crystal's input that they are; None: all of them.
    changed : the columns that joining changed, whole.
    """

    flags: np.ndarray
    kept: np.ndarray | None = None
    changed: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """What scaling needs of one crystal.

    Attributes
    ----------
    whole : its reflections.
    row : (n,) i4, those of them that take part.
    hkl : (n, 3); d : (n,) Å; frame : (n,) observed frame coordinate; partiality : (n,).
    prf, sum : (2, n) corrected intensity and variance; where one kind is missing it holds the other.
    both : (n,) bool, both kinds were integrated.
    raw_sum : (n,) counts of the whole reflection, before the corrections.
    count_factor : (n,) corrected intensity per recorded count.
    model, design : scaling model and its rows.
    known : the model's parameters from an earlier scaling, or None.
    """

    whole: Whole
    row: np.ndarray
    hkl: np.ndarray
    d: np.ndarray
    frame: np.ndarray
    partiality: np.ndarray
    prf: np.ndarray
    sum: np.ndarray
    both: np.ndarray
    raw_sum: np.ndarray
    count_factor: np.ndarray
    model: ScalingModel
    design: Rows
    known: np.ndarray | None

    def __len__(self) -> int:
        return len(self.row)


def prepare(
    experiment: Experiment, table: ReflectionTable, params: Params, excluded: tuple[tuple[int, int], ...]
) -> Prepared:
    """Join partials, apply corrections, choose the model.

    Parameters
    ----------
    table : integrated reflections of this experiment.
    excluded : image numbers (first, last) to leave out.

    Raises
    ------
    MxdaskError : nothing is left.
    """
    kinds = [k for k in ("prf", "sum") if f"intensity.{k}.value" in table]
    if not kinds:
        raise MxdaskError("no integrated intensities; run `mxdask integrate` first")
    before = table = table.copy()
    table, kept = combine_partials(before, kinds)
    row, keep_user = _suitable(table, params, excluded)
    flags = np.where(keep_user, 0, Flag.USER_EXCLUDED_IN_SCALING).astype(np.uint64)
    unsuitable = np.ones(len(table), dtype=bool)
    unsuitable[row] = False
    flags |= table["flags"] & ~np.uint64(Flag.BAD_FOR_SCALING | Flag.SCALED)
    flags[unsuitable] |= np.uint64(Flag.EXCLUDED_FOR_SCALING)
    if len(row) == 0:
        raise MxdaskError(f"none of {len(table)} reflections can be scaled (flags, partiality, resolution)")
    joined = ("partiality", *(f"intensity.{k}.{v}" for k in kinds for v in ("value", "variance")))
    whole = Whole(flags) if table is before else Whole(flags, kept, {name: table[name] for name in joined})
    part = table.select(row)
    prf, summed, both = _both_kinds(part, kinds)
    partiality = part["partiality"] if "partiality" in part else np.ones(len(part))
    factor = lp_qe_factor(part)
    raw = part["intensity.sum.value"] / partiality if "sum" in kinds else part["intensity.prf.value"]
    xyz = _position(part)
    model, known = choose_model(experiment, params, part["d"], xyz[:, :2]), None
    if experiment.scaling_model is not None and not params.overwrite_existing_models:
        model, known = ScalingModel.from_dict(experiment.scaling_model, model)
    frame = xyz[:, 2].copy()
    s1 = part["s1"] if "s1" in part else None  # noqa: SIM401 (a table, not a dictionary)
    design = experiment_rows(experiment, model, frame, part["d"], s1, xyz[:, :2])
    return Prepared(
        whole, row.astype(np.int32), part["miller_index"], part["d"], frame, partiality, prf, summed, both, raw,
        factor, model, design, known,
    )  # fmt: skip


def _suitable(
    table: ReflectionTable, params: Params, excluded: tuple[tuple[int, int], ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that take part, and (n_table,) which rows the user's choices allow."""
    cut = params.cut_data
    integrated = np.zeros(len(table), dtype=bool)
    for kind, flag in (("prf", Flag.INTEGRATED_PRF), ("sum", Flag.INTEGRATED_SUM)):
        if f"intensity.{kind}.value" in table:
            value, variance = table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"]
            with np.errstate(invalid="ignore"):
                good = table.has_flags(flag) & (np.abs(value) < _LARGEST) & (variance > 0) & (variance < _LARGEST**2)
                integrated |= good & (value >= cut.min_isigi * np.sqrt(np.maximum(variance, 0)))
    keep = integrated & np.any(table["miller_index"] != 0, axis=1)
    keep &= np.isfinite(table["d"]) & (table["d"] > 0) & np.all(np.isfinite(_position(table)), axis=1)
    if "partiality" in table:
        keep &= table["partiality"] >= max(cut.partiality_cutoff, 1e-6)
    keep &= efficiency(table) > 0
    user = np.ones(len(table), dtype=bool)
    if cut.d_min is not None:
        user &= table["d"] > cut.d_min
    if cut.d_max is not None:
        user &= table["d"] < cut.d_max
    if cut.exclude_ice_rings:
        user &= ~table.has_flags(Flag.IN_POWDER_RING)
    if excluded:
        image = np.floor(np.nan_to_num(_position(table)[:, 2])).astype(np.int64) + 1
        for first, last in excluded:
            user &= (image < first) | (image > last)
    return np.flatnonzero(keep & user), user


def _position(table: ReflectionTable) -> np.ndarray:
    """(n, 3) where the reflections were observed, or predicted where that is all there is: px, px, image."""
    return table["xyzobs.px.value" if "xyzobs.px.value" in table else "xyzcal.px"]


def _both_kinds(part: ReflectionTable, kinds: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corrected profile-fitted and summed intensities, each filled in from the other where it failed."""
    values, good = {}, {}
    for kind, flag in (("prf", Flag.INTEGRATED_PRF), ("sum", Flag.INTEGRATED_SUM)):
        if kind in kinds:
            values[kind] = np.stack(corrected(part, kind))
            good[kind] = part.has_flags(flag) & (values[kind][1] > 0)
        else:
            values[kind], good[kind] = np.zeros((2, len(part))), np.zeros(len(part), dtype=bool)
    prf = np.where(good["prf"], values["prf"], values["sum"])
    summed = np.where(good["sum"], values["sum"], values["prf"])
    return prf, summed, good["prf"] & good["sum"]
