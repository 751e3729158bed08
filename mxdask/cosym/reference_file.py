"""A reference data set: intensities whose setting all crystals are to take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from mxdask.errors import FileError, MxdaskError
from mxdask.intensity.observations import best_choice
from mxdask.intensity.symmetry_data import split_by_row, usable_observations
from mxdask.io.experiments import load


@dataclass(frozen=True, eq=False)
class Reference:
    """Reflections: hkl (n, 3), intensity and variance (n,), cell (6,) and space group."""

    hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    cell: np.ndarray
    space_group: gemmi.SpaceGroup


def read_reference(path: str) -> Reference:
    """Read a reference: an MTZ, an mmCIF file of reflections, or a ``.expt`` with its ``.refl`` beside it.

    Raises
    ------
    FileError : no such file, or nothing in it that could be compared.
    """
    if not Path(path).is_file():
        raise FileError(f"reference={path}: no such file")
    suffix = Path(path).suffix.lower()
    if suffix in (".expt", ".refl"):
        return _from_experiments(Path(path))
    return _from_mtz(_read_cif(path) if suffix in (".cif", ".mmcif", ".ent") else _read_mtz(path), path)


def _read_mtz(path: str) -> gemmi.Mtz:
    try:
        return gemmi.read_mtz_file(path)
    except (RuntimeError, ValueError) as error:
        raise FileError(f"reference={path}: not an MTZ file ({error}); give .mtz, .cif or .expt") from None


def _read_cif(path: str) -> gemmi.Mtz:
    """The first block of reflections of an mmCIF file."""
    try:
        blocks = gemmi.as_refln_blocks(gemmi.cif.read(path))
        found = next((b for b in blocks if b), None)
        if found is not None:
            return gemmi.CifToMtz().convert_block_to_mtz(found)
    except (RuntimeError, ValueError) as error:
        raise FileError(f"reference={path}: not a readable mmCIF file ({error})") from None
    raise FileError(f"reference={path}: it holds no reflections (_refln); a model alone cannot be compared with")


def _from_mtz(mtz: gemmi.Mtz, path: str) -> Reference:
    """Intensities, or squared amplitudes; the mean of I(+) and I(-) where there is no mean."""
    if mtz.spacegroup is None:
        raise FileError(f"reference={path}: the file names no space group")
    hkl = np.asarray(mtz.make_miller_array())
    cell = np.array(mtz.cell.parameters)
    for kind, power in (("J", 1), ("K", 1), ("F", 2), ("G", 2)):
        columns = list(mtz.columns_with_type(kind))[: 2 if kind in "KG" else 1]
        if columns:
            values = np.array([np.asarray(c, dtype=np.float64) for c in columns])
            known = np.isfinite(values)
            good = known.any(axis=0)
            mean = np.where(known, values, 0.0).sum(axis=0)[good] / known.sum(axis=0)[good]
            value = mean**power
            # Only order and size matter for correlations; errors are taken as a tenth of the intensity.
            sigma = 0.1 * np.abs(value) + 0.01 * float(np.mean(np.abs(value)))
            return Reference(hkl[good], value, sigma**2, cell, mtz.spacegroup)
    raise FileError(f"reference={path}: no column of intensities (J, K) or amplitudes (F, G)")


def _from_experiments(path: Path) -> Reference:
    """Scaled or integrated reflections of crystals that share a setting: each divided by its mean unless scaled."""
    expt, refl = path.with_suffix(".expt"), path.with_suffix(".refl")
    for file in (expt, refl):
        if not file.is_file():
            raise FileError(f"reference={path}: {file} is missing; a .expt and a .refl of one name belong together")
    experiments, reflections = load([expt], [refl])
    crystals = [e.crystal for e in experiments if e.crystal is not None]
    if reflections is None or len(crystals) != len(experiments) or not crystals:
        raise FileError(f"reference={path}: not every experiment has a crystal; give files of cosym, symmetry or scale")
    if len({c.space_group_hall for c in crystals}) > 1:
        raise FileError(f"reference={path}: its crystals differ in space group; give files of cosym, symmetry or scale")
    hkl, intensity, variance = [], [], []
    for table, width in split_by_row(experiments, reflections, range(len(experiments))):
        if len(table) == 0:
            continue
        try:
            found = usable_observations(table, 0.4, width)
        except MxdaskError as error:
            raise FileError(f"reference={path}: {error}") from None
        if len(found) == 0:
            continue
        level = 1.0 if best_choice(table) == "scale" else max(float(np.mean(found.intensity)), 1e-12)
        hkl.append(found.hkl)
        intensity.append(found.intensity / level)
        variance.append(found.variance / level**2)
    if not hkl:
        raise FileError(f"reference={path}: no usable reflections in {refl}")
    cell = np.median([c.cell for c in crystals], axis=0)
    return Reference(
        np.concatenate(hkl), np.concatenate(intensity), np.concatenate(variance), cell, crystals[0].space_group
    )
