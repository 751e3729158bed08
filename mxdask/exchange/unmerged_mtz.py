"""Unmerged MTZ files (of DIALS, Pointless, Aimless, Mosflm) as experiments with reflections.

Batch headers hold cell, orientation and angles of every image in the Cambridge frame: x along the beam, z along the
rotation axis. Batches that follow each other in number and angle with one orientation are a sweep of one crystal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import numpy as np

from mxdask.errors import FileError
from mxdask.exchange.observed import Observed, diffracted, reflection_table
from mxdask.exchange.plane import fitted_panel, nominal_panel
from mxdask.io.mtz import read_mtz
from mxdask.lattice.cells import similar
from mxdask.lattice.operators import constrain_crystal
from mxdask.models import Beam, Crystal, Detector, Experiment, Goniometer, ImageSet, Scan, new_identifier
from mxdask.models.crystal import b_matrix, busing_levy, hall_of
from mxdask.table import ReflectionTable

# Cambridge frame → laboratory (front.md 0.1): the axis becomes x, the beam -z.
_TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
_SAME_ORIENTATION = 5.0  # degrees between neighbouring images of one crystal
_SAME_ANGLE = 0.1  # of an image's width
_SAME_SETTING = 1e-6  # single precision


@dataclass(frozen=True, eq=False)
class _Image:
    """What is used of a batch header: U (3, 3) may be zero where it is not known; φ in degrees."""

    number: int
    dataset: int
    cell: np.ndarray
    U: np.ndarray
    phi: tuple[float, float]
    axis: np.ndarray
    wavelength: float
    distance: float
    size: tuple[int, int]

    @property
    def oriented(self) -> bool:
        return abs(abs(float(np.linalg.det(self.U))) - 1.0) < 0.01


def read_unmerged_mtz(path: str | Path) -> list[tuple[Experiment, ReflectionTable]]:
    """Every sweep of an unmerged MTZ file, reflections with id 0.

    Raises
    ------
    FileError : the file is not what it should be, merged, or without intensities.
    """
    mtz = read_mtz(path)
    if mtz.spacegroup is None:
        raise FileError(f"{path}: the file names no space group")
    if not mtz.batches:
        raise FileError(f"{path}: a merged MTZ file (no batches); give unmerged reflections")
    images = [_image(mtz, batch) for batch in sorted(mtz.batches, key=lambda b: b.number)]
    columns = _columns(path, mtz)
    out = []
    for number, sweep in enumerate(_sweeps(images), start=1):
        rows = (columns["BATCH"] >= sweep[0].number) & (columns["BATCH"] <= sweep[-1].number)
        if rows.any():
            name = f"{Path(path).absolute().with_suffix('')}_{number}_####.cbf"
            out.append(_experiment(mtz, name, sweep, {k: v[rows] for k, v in columns.items()}))
    if not out:
        raise FileError(f"{path}: no reflection belongs to one of the {len(images)} batches")
    return out


def _image(mtz: gemmi.Mtz, batch: gemmi.Mtz.Batch) -> _Image:
    f = np.array([batch.floats[i] for i in range(len(batch.floats))])
    waves = [d.wavelength for d in mtz.datasets if d.id == batch.dataset_id]
    cell = f[:6] if np.all(f[:6] > 0) else np.array(mtz.cell.parameters)
    axis = f[38:41] if np.linalg.norm(f[38:41]) > 0.5 else np.array([0.0, 0.0, 1.0])
    return _Image(
        batch.number, batch.dataset_id, cell, f[6:15].reshape(3, 3).T, (float(f[36]), float(f[37])), axis,
        float(batch.wavelength or (waves[0] if waves else 0.0)), float(abs(f[111])),
        (max(int(f[114]), 1), max(int(f[116]), 1)),
    )  # fmt: skip


def _sweeps(images: list[_Image]) -> list[list[_Image]]:
    out: list[list[_Image]] = []
    for image in images:
        if out and _follows(out[-1][-1], image):
            out[-1].append(image)
        else:
            out.append([image])
    return out


def _follows(a: _Image, b: _Image) -> bool:
    """Whether an image continues the sweep of the one before."""
    width = a.phi[1] - a.phi[0]
    # Stored in single precision, and a sweep may pass ±360°.
    gap = (b.phi[0] - a.phi[1] + 180.0) % 360.0 - 180.0
    slack = _SAME_ANGLE * abs(width) + 1e-3
    return (
        b.number == a.number + 1
        and a.dataset == b.dataset
        and abs(gap) <= slack
        and abs(b.phi[1] - b.phi[0] - width) <= slack
        and similar(a.cell, b.cell, length_tolerance=0.02, angle_tolerance=1.0)
        and a.oriented == b.oriented
        and (not a.oriented or _angle_between(a.U, b.U) < _SAME_ORIENTATION)
    )


def _angle_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.rad2deg(np.arccos(np.clip((np.trace(a.T @ b) - 1.0) / 2.0, -1.0, 1.0))))


def _columns(path: str | Path, mtz: gemmi.Mtz) -> dict[str, np.ndarray]:
    """Columns by name; H, K, L as measured; ``I`` and ``SIGI`` profile-fitted where there are such (IPR)."""
    labels = mtz.column_labels()
    for label in ("M/ISYM", "BATCH", "I", "SIGI"):
        if label not in labels:
            raise FileError(f"{path}: an unmerged MTZ file needs a column {label}")
    flag = np.rint(np.array(mtz.column_with_label("M/ISYM").array)).astype(np.int64)
    mtz.switch_to_original_hkl()
    data = np.array(mtz.array, dtype=np.float64)
    out = {label: data[:, i] for i, label in enumerate(labels)}
    out["BATCH"] = np.rint(out["BATCH"])
    out["partial"] = (flag // 256).astype(np.float64)
    if "IPR" in out and np.isfinite(out["IPR"]).any():
        out["I"], out["SIGI"] = out["IPR"], out["SIGIPR"]
    good = np.isfinite(out["I"]) & (out["SIGI"] > 0)
    if not good.any():
        raise FileError(f"{path}: no reflection has an intensity with a positive sigma")
    return _whole({k: v[good] for k, v in out.items()})


def _whole(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Pieces of reflections (M > 0, on neighbouring batches) added up, as Mosflm writes them one by one."""
    if not columns["partial"].any():
        return columns
    order = np.lexsort((columns["BATCH"], columns["partial"] > 0, columns["L"], columns["K"], columns["H"]))
    sorted_ = {k: v[order] for k, v in columns.items()}
    same = np.all([sorted_[i][1:] == sorted_[i][:-1] for i in "HKL"], axis=0)
    same &= (sorted_["partial"][1:] > 0) & (sorted_["partial"][:-1] > 0)
    same &= np.diff(sorted_["BATCH"]) == 1
    first = np.flatnonzero(np.concatenate([[True], ~same]))
    out = {k: v[first] for k, v in sorted_.items()}
    out["I"] = np.add.reduceat(sorted_["I"], first)
    out["SIGI"] = np.sqrt(np.add.reduceat(sorted_["SIGI"] ** 2, first))
    if "FRACTIONCALC" in out:
        out["FRACTIONCALC"] = np.add.reduceat(sorted_["FRACTIONCALC"], first)
    return out


def _experiment(
    mtz: gemmi.Mtz, name: str, sweep: list[_Image], columns: dict[str, np.ndarray]
) -> tuple[Experiment, ReflectionTable]:
    a, b = sweep[0], sweep[-1]
    n = len(sweep)
    width = (a.phi[1] - a.phi[0]) or 0.0
    scan = Scan((a.number, b.number), (a.phi[0], width), exposure_times=(0.0,) * n, epochs=(0.0,) * n)
    experiment = Experiment(
        new_identifier(), ImageSet(name), Beam(np.array([0.0, 0.0, 1.0]), a.wavelength), None,
        Goniometer.single_axis(_TURN @ a.axis), scan, _crystal(sweep, mtz.spacegroup),
    )  # fmt: skip
    observed = _observed(columns, scan)
    panel = None
    if a.oriented and "XDET" in columns:
        s1 = diffracted(experiment, observed.hkl, observed.xyz[:, 2])
        panel = fitted_panel(observed.xyz[:, :2], s1, a.distance, a.size)
    panel = panel or nominal_panel(observed.xyz[:, :2], a.distance, a.size)
    experiment = experiment.evolve(detector=Detector((panel,)))
    return experiment, reflection_table(experiment, observed, oriented=a.oriented)


def _crystal(sweep: list[_Image], space_group: gemmi.SpaceGroup) -> Crystal:
    """Mean cell and orientation of the images; where they drift, with those at the borders of the images too."""
    hall = hall_of(space_group)
    cell = np.mean([image.cell for image in sweep], axis=0)
    if not sweep[0].oriented:
        return Crystal.from_A(b_matrix(cell), hall)
    # The rotation nearest to the sum of all is their mean.
    left, _, right = np.linalg.svd(np.sum([image.U for image in sweep], axis=0))
    mean = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    A = _TURN @ mean @ busing_levy(cell)
    each = np.array([_TURN @ image.U @ busing_levy(image.cell) for image in sweep])
    if np.abs(each - A).max() < _SAME_SETTING * np.abs(A).max():
        return constrain_crystal(Crystal.from_A(A, hall), space_group)
    borders = np.concatenate([each[:1], (each[1:] + each[:-1]) / 2.0, each[-1:]])
    return replace(constrain_crystal(Crystal.from_A(A, hall), space_group), A_at_scan_points=borders)


def _observed(columns: dict[str, np.ndarray], scan: Scan) -> Observed:
    n = len(columns["I"])
    frame = columns["BATCH"] - 0.5
    if "ROT" in columns and not scan.is_still:
        predicted = scan.frame(np.deg2rad(columns["ROT"]))
        period = 360.0 / abs(scan.width)
        predicted = predicted - np.rint((predicted - frame) / period) * period
        frame = np.where(np.isfinite(predicted), predicted, frame)
    zero = np.zeros(n)
    x, y = (np.nan_to_num(columns.get(label, zero)) for label in ("XDET", "YDET"))
    fraction = columns.get("FRACTIONCALC", np.ones(n))
    return Observed(
        np.column_stack([columns[i] for i in "HKL"]).astype(np.int32), np.column_stack([x, y, frame]), columns["I"],
        columns["SIGI"], np.ones(n), np.where((fraction > 0) & (fraction <= 1), fraction, 1.0),
    )  # fmt: skip
