"""Unmerged observations for deposition: what the categories of the dictionary are filled with (back.md 15.2)."""

from __future__ import annotations

import datetime
import math
from typing import Any

import gemmi
import numpy as np

from mxdask import __version__
from mxdask.intensity.merging import Unmerged
from mxdask.intensity.statistics import merging_statistics, shell_edges
from mxdask.io.mmcif import Loop
from mxdask.merge.exportable import Exportable
from mxdask.models import Experiment

_REFLN, _NEXT = "_diffrn_refln.", "_pdbx_diffrn_unmerged_refln."
_SYSTEMS = {"triclinic": "a", "monoclinic": "m", "orthorhombic": "o", "tetragonal": "t", "trigonal": "h",
            "hexagonal": "h", "cubic": "c"}  # fmt: skip
_STATISTICS = {
    "d_resolution_high": "d_min", "d_resolution_low": "d_max", "pdbx_CC_half": "CC_half", "number_obs": "n_unique",
    "pdbx_number_measured_all": "n_obs", "pdbx_Rmerge_I_obs": "Rmerge", "pdbx_Rpim_I_all": "Rpim",
    "pdbx_Rrim_I_all": "Rmeas", "pdbx_netI_over_sigmaI": "I_over_sigma", "pdbx_redundancy": "multiplicity",
    "percent_possible_obs": "completeness",
}  # fmt: skip


def unmerged_cif(chosen: Exportable, version: str, seed: int = 42) -> tuple[list[tuple[str, Any]], list[Loop]]:
    """Pairs and loops of a block.

    Parameters
    ----------
    version : ``v5`` (categories in use today) or ``v5_next`` (also cells and scans of every crystal).
    seed : of the half sets of CC½.
    """
    pairs = _head(chosen, version)
    if chosen.choice == "scale":
        pairs += _statistics(chosen, seed)
    if version == "v5":
        return pairs, [_v5(chosen)]
    return pairs, [_cells(chosen), _scans(chosen), _v5_next(chosen)]


def _head(chosen: Exportable, version: str) -> list[tuple[str, Any]]:
    beams = [e.beam.wavelength for e in chosen.experiments if e.beam is not None]
    cell = dict(zip(("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"),
                    chosen.cell.parameters, strict=True))  # fmt: skip
    pairs: list[tuple[str, Any]] = [
        ("_entry.id", "mxdask"), ("_audit.revision_id", 1), ("_audit.creation_method", f"mxdask {__version__}"),
        ("_audit.creation_date", datetime.date.today().isoformat()), ("_software.pdbx_ordinal", 1),
        ("_software.name", "mxdask"), ("_software.version", __version__), ("_software.type", "package"),
        ("_software.classification", "data scaling" if chosen.choice == "scale" else "data reduction"),
        ("_exptl_crystal.id", 1), ("_diffrn.id", 1), ("_diffrn.crystal_id", 1), ("_diffrn_source.diffrn_id", 1),
        ("_diffrn_source.pdbx_wavelength_list", ", ".join(f"{w:.5f}" for w in sorted({round(b, 5) for b in beams}))),
        ("_diffrn_detector.diffrn_id", 1), ("_diffrn_detector.pdbx_collection_date", _collected(chosen)),
        ("_cell.entry_id", "mxdask"), *((f"_cell.{name}", f"{value:.4f}") for name, value in cell.items()),
        ("_symmetry.entry_id", "mxdask"), ("_symmetry.space_group_name_H-M", chosen.space_group.xhm()),
        ("_symmetry.Int_Tables_number", chosen.space_group.number),
    ]  # fmt: skip
    if version == "v5_next":
        pairs += [
            ("_pdbx_diffrn_data_section.id", "mxdask"), ("_pdbx_diffrn_data_section.type_scattering", "x-ray"),
            ("_pdbx_diffrn_data_section.type_merged", "false"),
            ("_pdbx_diffrn_data_section.type_scaled", str(chosen.choice == "scale").lower()),
        ]  # fmt: skip
    return pairs


def _collected(chosen: Exportable) -> str:
    """Day of the first image; ``?`` where no image knows its time."""
    epochs = [e.scan.epochs[0] for e in chosen.experiments if e.scan is not None and e.scan.epochs]
    known = [t for t in epochs if t > 0]
    return datetime.datetime.fromtimestamp(min(known), datetime.UTC).date().isoformat() if known else "?"


def _statistics(chosen: Exportable, seed: int) -> list[tuple[str, Any]]:
    o = chosen.observations
    data = Unmerged.of(o.hkl, o.intensity, o.variance, chosen.cell, chosen.space_group)
    _, overall = merging_statistics(data, shell_edges(data, 20), seed)
    row = overall.row(0)
    values = [(f"_reflns.{tag}", row[name]) for tag, name in _STATISTICS.items() if row.get(name) is not None]
    return [("_reflns.entry_id", "mxdask"), ("_reflns.pdbx_ordinal", 1), ("_reflns.pdbx_diffrn_id", 1), *values]


def _intensities(chosen: Exportable, names: dict[str, str]) -> dict[str, tuple[Any, str]]:
    """Scale, intensity and sigma of every kind the dictionary has a name for, as (values, format)."""
    o = chosen.observations
    out: dict[str, tuple[Any, str]] = {}
    kinds = {"prf+sum": (("prf", o.intensity, o.variance), ("sum", o.sum_intensity, o.sum_variance))}.get(
        chosen.choice, ((chosen.choice, o.intensity, o.variance),)
    )
    if chosen.choice == "scale":
        out[names["factor"]] = (1.0 / chosen.table["inverse_scale_factor"][o.row], "%5.3f")
    for kind, intensity, variance in kinds:
        if kind in names and intensity is not None and variance is not None:
            out[names[kind]] = (intensity, "%8.3f")
            out[names[f"{kind} sigma"]] = (np.sqrt(variance), "%8.3f")
    return out


def _angles(chosen: Exportable) -> np.ndarray:
    """(n,) degrees, predicted where known."""
    o, table = chosen.observations, chosen.table
    if "xyzcal.mm" in table:
        return np.rad2deg(table["xyzcal.mm"][o.row, 2])
    out = np.zeros(len(o))
    for i, experiment in enumerate(chosen.experiments):
        if experiment.scan is not None:
            mine = o.experiment == i
            out[mine] = np.rad2deg(experiment.scan.angle(o.xyz[mine, 2]))
    return out


def _v5(chosen: Exportable) -> Loop:
    o = chosen.observations
    kind = "scale" if chosen.choice == "scale" else chosen.choice.split("+")[0]
    names = {"factor": "pdbx_scale_value", kind: "intensity_net", f"{kind} sigma": "intensity_sigma"}
    n = len(o)
    return Loop(_REFLN, {
        "diffrn_id": (np.ones(n, dtype=int), "%d"), "id": (np.arange(1, n + 1), "%d"),
        "index_h": (o.hkl[:, 0], "%d"), "index_k": (o.hkl[:, 1], "%d"), "index_l": (o.hkl[:, 2], "%d"),
        "pdbx_image_id": (np.ceil(o.xyz[:, 2]).astype(int), "%d"), "pdbx_detector_x": (o.xyz[:, 0], "%.3f"),
        "pdbx_detector_y": (o.xyz[:, 1], "%.3f"), **_intensities(chosen, names),
        "pdbx_scan_angle": (_angles(chosen), "%.4f"),
    })  # fmt: skip


def _v5_next(chosen: Exportable) -> Loop:
    o = chosen.observations
    names = {
        "factor": "scale_value", "scale": "intensity_meas", "scale sigma": "intensity_sigma", "sum": "intensity_sum",
        "sum sigma": "intensity_sum_sigma", "prf": "intensity_prf", "prf sigma": "intensity_prf_sigma",
    }  # fmt: skip
    if "bbox" in chosen.table:
        first, last = chosen.table["bbox"][o.row, 4], chosen.table["bbox"][o.row, 5]
    else:
        first = np.floor(o.xyz[:, 2]).astype(int)
        last = first + 1
    return Loop(_NEXT, {
        "reflection_id": (np.arange(1, len(o) + 1), "%d"), "scan_id": (o.experiment + 1, "%d"),
        "image_id_begin": (first, "%d"), "image_id_end": (last, "%d"), "index_h": (o.hkl[:, 0], "%d"),
        "index_k": (o.hkl[:, 1], "%d"), "index_l": (o.hkl[:, 2], "%d"), **_intensities(chosen, names),
        "scan_angle_reflection": (_angles(chosen), "%.4f"), "partiality": (o.partiality, "%.4f"),
    })  # fmt: skip


def _crystal_numbers(chosen: Exportable) -> list[int]:
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(e.crystal), len(numbers) + 1) for e in chosen.experiments]


def _cells(chosen: Exportable) -> Loop:
    rows = [_cell(e) for e in chosen.experiments]
    names = ("wavelength", "cell_length_a", "cell_length_b", "cell_length_c", "cell_angle_alpha", "cell_angle_beta",
             "cell_angle_gamma")  # fmt: skip
    return Loop("_pdbx_diffrn_unmerged_cell.", {
        "ordinal": (range(1, len(rows) + 1), "%d"), "crystal_id": (_crystal_numbers(chosen), "%d"),
        **{name: ([row[i] for row in rows], "%.5f") for i, name in enumerate(names)},
        "Bravais_lattice": ([_bravais(e) for e in chosen.experiments], "%s"),
    })  # fmt: skip


def _cell(experiment: Experiment) -> list[float]:
    assert experiment.crystal is not None
    return [experiment.beam.wavelength if experiment.beam else math.nan, *map(float, experiment.crystal.cell)]


def _bravais(experiment: Experiment) -> str:
    assert experiment.crystal is not None
    group: gemmi.SpaceGroup = experiment.crystal.space_group
    return _SYSTEMS[group.crystal_system_str()] + group.centring_type()


def _scans(chosen: Exportable) -> Loop:
    scans = [e.scan for e in chosen.experiments]
    images = [s.image_range if s else (1, 1) for s in scans]
    angles = [s.oscillation_range if s else (0.0, 0.0) for s in scans]
    return Loop("_pdbx_diffrn_scan.", {
        "scan_id": (range(1, len(scans) + 1), "%d"), "crystal_id": (_crystal_numbers(chosen), "%d"),
        "image_id_begin": ([i[0] for i in images], "%d"), "image_id_end": ([i[1] for i in images], "%d"),
        "scan_angle_begin": ([a[0] for a in angles], "%.4f"), "scan_angle_end": ([a[1] for a in angles], "%.4f"),
    })  # fmt: skip
