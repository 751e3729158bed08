"""Checks A1 to A8 of back.md 22: reflections integrated by us and by DIALS from the same refined files.

``python tests/interop/compare_integration.py OURS THEIRS`` prints the table; both are folders with integrated.expt
and integrated.refl. DIALS must have run with nproc=1 (otherwise it cuts reflections at the borders of its blocks).
Where our default differs on purpose, ours is run as :data:`LIKE_DIALS`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mxdask.geometry.kabsch import partiality
from mxdask.integrate.profile_model import ProfileModel
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.models import ExperimentList
from mxdask.table import Flag, ReflectionTable

# A level background everywhere, from all pixels around a reflection, and no fit with neighbours.
LIKE_DIALS = ["glm.rings=false", "exclude_neighbours=false", "fitting.deconvolution=false"]
# A7 looks at reflections that the scan's ends do not cut: of one cut in half DIALS' fit can give a fifth.
COMPLETE = 0.99


@dataclass(frozen=True)
class Pairs:
    """Rows of two tables that are the same reflection, and the rows of each that the other lacks."""

    ours: ReflectionTable
    theirs: ReflectionTable
    inside: np.ndarray
    only_ours: ReflectionTable
    only_theirs: ReflectionTable


def pair_up(ours: ReflectionTable, theirs: ReflectionTable, experiments: ExperimentList) -> Pairs:
    """Same experiment, index, side of the sphere and panel, and nearest in z. ``inside``: centred in the scan."""
    where: dict[tuple[int, ...], list[int]] = {}
    for row, key in enumerate(_keys(theirs)):
        where.setdefault(key, []).append(row)
    z = theirs["xyzcal.px"][:, 2]
    rows = []
    for row, key in enumerate(_keys(ours)):
        found = where.get(key)
        if found:
            nearest = min(found, key=lambda j: abs(z[j] - ours["xyzcal.px"][row, 2]))
            found.remove(nearest)
            rows.append((row, nearest))
    a, b = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    lone = [np.setdiff1d(np.arange(len(t)), r) for t, r in ((ours, a), (theirs, b))]
    first = ours.select(a)
    return Pairs(first, theirs.select(b), inside_scan(first, experiments), ours.select(lone[0]), theirs.select(lone[1]))


def inside_scan(table: ReflectionTable, experiments: ExperimentList) -> np.ndarray:
    ranges = np.array([e.scan.array_range for e in experiments])[table["id"]]
    z = table["xyzcal.px"][:, 2]
    return (z >= ranges[:, 0]) & (z < ranges[:, 1])


def _keys(t: ReflectionTable) -> list[tuple[int, ...]]:
    return [
        (int(i), *map(int, h), int(e), int(p))
        for i, h, e, p in zip(t["id"], t["miller_index"], t["entering"], t["panel"], strict=True)
    ]


def compare(ours: Path, theirs: Path) -> dict[str, float]:
    """The figures of the checks; worst values unless the name says otherwise. Keys begin with the check's name."""
    experiments, other = (read_expt(folder / "integrated.expt") for folder in (ours, theirs))
    assert experiments.identifiers == other.identifiers
    models = [[ProfileModel.from_dict(e.profile) for e in es] for es in (experiments, other)]
    out: dict[str, float] = {}
    for name in ("sigma_b", "sigma_m"):
        a, b = (np.array([getattr(m, name) for m in ms]) for ms in models)
        out[f"A1 {name} rel"] = float(np.abs(a / b - 1).max())
    p = pair_up(read_refl(ours / "integrated.refl"), read_refl(theirs / "integrated.refl"), experiments)
    a, b, inside = p.ours, p.theirs, p.inside
    out["n reflections"], out["n beyond the ends"] = len(a), int(np.sum(~inside))
    for name, lone in (("only ours", p.only_ours), ("only theirs", p.only_theirs)):
        within = inside_scan(lone, experiments)
        out[f"A2 {name}, inside %"] = 100 * within.sum() / inside.sum()
        out[f"A2 {name}, beyond %"] = 100 * np.sum(~within) / max(1, np.sum(~inside))
    shift = np.abs(a["xyzcal.px"] - b["xyzcal.px"]).max(axis=1)
    box = np.all(a["bbox"] == b["bbox"], axis=1)
    for name, rows in (("inside", inside), ("beyond", ~inside)):
        if not rows.any():
            continue
        out[f"A2 shift {name} px"] = float(shift[rows].max())
        out[f"A3 box equal {name} %"] = 100 * float(np.mean(box[rows]))
        for column in ("zeta", "lp", "qe"):
            out[f"A4 {column} {name}"] = float(np.abs(a[column] - b[column])[rows].max())
        parts = _partialities(a, experiments, models[1])
        out[f"A4 partiality {name}"] = float(np.abs(parts - b["partiality"])[rows & box].max())
    return out | _intensities(a, b, box)


def _partialities(table: ReflectionTable, experiments: ExperimentList, models: list[ProfileModel]) -> np.ndarray:
    """(n,) partialities of our predictions with DIALS' σ_m, which ours meets to a few parts in 10⁵ only."""
    out = np.empty(len(table))
    for i, (experiment, model) in enumerate(zip(experiments, models, strict=True)):
        rows = table["id"] == i
        t = table.select(rows)
        _, sigma_m = model.widths_at(t["xyzcal.px"][:, 2], experiment.scan.array_range[0])
        ends = (experiment.scan.angle(t["bbox"][:, 4]), experiment.scan.angle(t["bbox"][:, 5]))
        out[rows] = partiality(t["zeta"], sigma_m, t["xyzcal.mm"][:, 2], *ends)
    return out


def _intensities(a: ReflectionTable, b: ReflectionTable, box: np.ndarray) -> dict[str, float]:
    out: dict[str, float] = {}
    foreground = box & (a["num_pixels.foreground"] == b["num_pixels.foreground"])
    same = foreground & (a["num_pixels.background_used"] == b["num_pixels.background_used"])
    out["same foreground %"] = 100 * float(np.mean(foreground[box]))
    out["same pixels %"] = 100 * float(np.mean(same[box]))
    some = same & (b["background.mean"] > 0)
    out["A5 background median rel"] = float(np.median(np.abs(a["background.mean"] / b["background.mean"] - 1)[some]))
    difference = np.abs(a["intensity.sum.value"] - b["intensity.sum.value"])
    close = (difference < 0.01) | (difference < 1e-3 * np.abs(b["intensity.sum.value"]))
    level = np.abs(a["background.mean"] - b["background.mean"]) <= 1e-3 * np.abs(b["background.mean"])
    out["A6 sum as asked %"] = 100 * float(np.mean(close[same & level]))
    ratio = np.abs(a["intensity.sum.variance"] / b["intensity.sum.variance"] - 1)
    out["A6 sum variance as asked %"] = 100 * float(np.mean(ratio[same & level] < 1e-3))
    both = a.has_flags(Flag.INTEGRATED_PRF) & b.has_flags(Flag.INTEGRATED_PRF)
    fitted = both & (b["partiality"] > COMPLETE)
    x, y = (t["intensity.prf.value"][fitted] for t in (a, b))
    v, w = (t["intensity.prf.variance"][fitted] for t in (a, b))
    strength = y / np.sqrt(w)
    strong = strength > 10
    out["A7 prf median rel, I/sigma > 10"] = float(np.median(np.abs(x / y - 1)[strong]))
    out["A7 prf CC"] = float(np.corrcoef(x, y)[0, 1])
    for low, high in ((0, 3), (3, 10), (10, 30), (30, np.inf)):
        rows = (strength >= low) & (strength < high)
        if rows.any():
            out[f"A7 variance ratio, I/sigma {low} to {high}"] = float(np.median(v[rows] / w[rows]))
    for kind, flag in (("sum", Flag.INTEGRATED_SUM), ("prf", Flag.INTEGRATED_PRF)):
        out[f"A8 {kind} %"] = 100 * float(np.mean(a.has_flags(flag) == b.has_flags(flag)))
    return out


def main(folders: list[str]) -> None:
    for name, value in compare(*map(Path, folders)).items():
        print(f"{name:36s} {value:.6g}")


if __name__ == "__main__":
    main(sys.argv[1:])
