"""Results held against the truth of a simulated set: numbers, and a table for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from scipy.linalg import polar

from mxdask.errors import FileError, MxdaskError
from mxdask.lattice.operators import hkl_of
from mxdask.models import ExperimentList
from mxdask.simulate.spots import primitive_basis
from mxdask.simulate.structure import expand, indexing_settings, packed
from mxdask.simulate.truth import open_truth
from mxdask.text import text_table

_N_SHELLS = 10
_INTENSITY_LABELS = ("IMEAN", "I", "Imean", "I_obs")


@dataclass(frozen=True)
class Shell:
    """One shell of resolution: limits in Å, number of reflections, correlation with the truth (NaN if below 20)."""

    d_max: float
    d_min: float
    n: int
    cc: float


@dataclass(frozen=True)
class MergedComparison:
    """Merged intensities against true ones.

    Attributes
    ----------
    n : reflections in common. cc : their correlation. shells : ten with equal numbers of reflections.
    reindexing : how the result's indices become the truth's, as ``h,k,l``.
    """

    n: int
    cc: float
    shells: tuple[Shell, ...]
    reindexing: str

    @property
    def mean_shell_cc(self) -> float:
        """Mean of the shells' correlations."""
        return float(np.nanmean([s.cc for s in self.shells])) if self.shells else float("nan")

    def table(self) -> str:
        """For people."""
        rows = [(f"{s.d_max:.2f}", f"{s.d_min:.2f}", s.n, f"{s.cc:.3f}") for s in self.shells]
        rows.append(("all", f"{self.shells[-1].d_min:.2f}" if self.shells else "", self.n, f"{self.cc:.4f}"))
        how = f"reindexed {self.reindexing}; mean of shells {self.mean_shell_cc:.3f}"
        header = ("d max", "d min", "reflections", "CC")
        return text_table(header, rows, title=f"Merged intensities against the truth ({how})")


@dataclass(frozen=True)
class CrystalComparison:
    """One refined crystal against the true one, whatever basis it was indexed in.

    Attributes
    ----------
    lattice_found : whether both matrices span the same lattice. If not, the other numbers are NaN.
    misorientation : degrees between the lattices after the best of all symmetric ways to lay one on the other.
    cell_error : largest relative change of any length that turns the true lattice into the refined one.
    """

    name: str
    lattice_found: bool
    misorientation: float
    cell_error: float


def merged_against_truth(mtz: str | Path, truth: str | Path, structure: str | None = None) -> MergedComparison:
    """Correlation of a merged MTZ with the true intensities, in the indexing choice that agrees better.

    Parameters
    ----------
    structure : name under ``structures/`` of the truth; default the first.

    Raises
    ------
    FileError : a file is missing, or the MTZ has no mean intensities.
    MxdaskError : the truth has no such structure, or there is nothing in common.
    """
    hkl, I, d = _read_merged(Path(mtz))
    with open_truth(Path(truth)) as file:
        name = structure or sorted(file["structures"])[0]
        if name not in file["structures"]:
            raise MxdaskError(f"{truth}: no structure {name!r}; it has {', '.join(file['structures'])}")
        group = file["structures"][name]
        space_group, cell = str(group.attrs["spacegroup"]), tuple(float(x) for x in group.attrs["cell"])
        true_hkl, true_I = group["hkl"][...], group["I"][...]
    sphere = expand(true_hkl, gemmi.SpaceGroup(space_group))
    keys = packed(sphere.hkl)
    best: tuple[float, str, np.ndarray, np.ndarray] | None = None
    for setting in indexing_settings(space_group, cell):
        wanted = packed(hkl @ np.array(setting).T)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        known = keys[place] == wanted
        true = true_I[sphere.unique[place]]
        cc = _correlation(I[known], true[known])
        if best is None or cc > best[0]:
            best = cc, hkl_of(np.array(setting)), known, true
    assert best is not None
    cc, reindexing, known, true = best
    if known.sum() < 20:
        raise MxdaskError(f"{mtz}: {known.sum()} reflections in common with {truth}: not the same structure?")
    shells = _shells(I[known], true[known], d[known])
    return MergedComparison(int(known.sum()), cc, shells, reindexing)


def _read_merged(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """hkl (n, 3), mean intensity (n,), d (n,) of the reflections that were measured."""
    try:
        mtz = gemmi.read_mtz_file(str(path))
    except (OSError, RuntimeError) as error:
        raise FileError(f"{path}: cannot be read as MTZ ({error})") from error
    label = next((name for name in _INTENSITY_LABELS if name in mtz.column_labels()), None)
    if label is None:
        raise FileError(f"{path}: no column of mean intensities ({', '.join(_INTENSITY_LABELS)})")
    hkl = mtz.make_miller_array().astype(np.int64)
    I = np.array(mtz.column_with_label(label), dtype=np.float64)
    measured = np.isfinite(I)
    return hkl[measured], I[measured], mtz.cell.calculate_d_array(hkl[measured].astype(np.int32))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 20 or np.ptp(a) == 0:
        return float("nan") if len(a) == 0 else 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _shells(I: np.ndarray, true: np.ndarray, d: np.ndarray) -> tuple[Shell, ...]:
    """Ten shells with equal numbers of reflections, from low to high resolution."""
    order = np.argsort(-d, kind="stable")
    parts = [rows for rows in np.array_split(order, _N_SHELLS) if len(rows)]
    return tuple(
        Shell(float(d[rows[0]]), float(d[rows[-1]]), len(rows), _correlation(I[rows], true[rows])) for rows in parts
    )


def crystals_against_truth(experiments: ExperimentList, truth: str | Path) -> list[CrystalComparison]:
    """Cell and orientation of every crystal against the one of its sweep (matched by the sweep's name).

    The bases need not agree: with A_found·P ≈ A_true for an integer P of determinant ±1 (rounded from
    A_found⁻¹·A_true of the primitive lattices) what is left is a rotation and a small strain (polar decomposition).
    """
    with open_truth(Path(truth)) as file:
        true = {}
        for crystal in file["crystals"].values():
            centring = str(file["structures"][crystal.attrs["structure"]].attrs["spacegroup"])[0]
            for sweep in (g for name, g in crystal.items() if name.startswith("sweep")):
                true[str(sweep.attrs["name"])] = (crystal["A"][...], centring)
    out = []
    for experiment in experiments:
        if experiment.crystal is not None and experiment.name in true:
            A, centring = true[experiment.name]
            true_A = A @ np.linalg.inv(primitive_basis(centring))
            found = experiment.crystal.A
            if experiment.crystal.volume > 1.5 / abs(np.linalg.det(true_A)):  # a centred cell
                found = found @ np.linalg.inv(primitive_basis(experiment.crystal.space_group.centring_type()))
            out.append(_compare_lattices(experiment.name, found, true_A))
    return out


def _compare_lattices(name: str, found: np.ndarray, true: np.ndarray) -> CrystalComparison:
    P = np.rint(np.linalg.solve(found, true))
    if abs(abs(np.linalg.det(P)) - 1) > 1e-6:
        return CrystalComparison(name, False, float("nan"), float("nan"))
    rotation, strain = polar(found @ P @ np.linalg.inv(true))
    angle = np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    lengths = 1 / np.linalg.eigvalsh(strain)  # reciprocal lengths shrink where direct ones grow
    return CrystalComparison(name, True, float(np.rad2deg(angle)), float(np.abs(lengths - 1).max()))


def crystals_table(rows: list[CrystalComparison]) -> str:
    """For people."""
    cells = [
        (r.name, f"{r.misorientation:.3f}", f"{100 * r.cell_error:.3f}")
        if r.lattice_found
        else (r.name, "wrong lattice", "-")
        for r in rows
    ]
    return text_table(("sweep", "misorientation (°)", "cell error (%)"), cells, title="Crystals against the truth")
