"""``truth.h5``: what a simulated set was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mxdask.errors import FileError
from mxdask.io.atomic import replacing
from mxdask.simulate.crystals import TrueCrystal
from mxdask.simulate.instrument import build
from mxdask.simulate.params import SimulatedSet
from mxdask.simulate.predict import TrueReflections, counts_per_intensity
from mxdask.simulate.structure import true_intensities

_FRAME = (
    "imgCIF laboratory frame, beam along -Z, A maps hkl to 1/Angstrom at all goniometer angles 0; pixel coordinates: "
    "pixel i covers [i,i+1); z: image j (0-based) covers [j,j+1)"
)


@dataclass(frozen=True)
class TrueSweep:
    """What one crystal's task hands back: the crystal, its reflections, and which of these touch a bad pixel."""

    crystal: TrueCrystal
    reflections: TrueReflections
    on_mask: np.ndarray


def species_name(species: int) -> str:
    """Name of a variant of the structure in the file."""
    return f"variant{species + 1}"


def write_truth(path: Path, sim: SimulatedSet, sweeps: Sequence[TrueSweep]) -> None:
    """Write ``truth.h5`` (layout as in the shared simulated data)."""
    instrument = build(sim)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(
            config=sim.model_dump_json(), frame=_FRAME, wavelength=sim.beam.wavelength, K=counts_per_intensity(sim),
            axis=np.array([1.0, 0.0, 0.0]),
        )  # fmt: skip
        for species in range(sim.structure.species):
            true = true_intensities(sim.structure, sim.seed, species, instrument.d_min)
            group = file.create_group(f"structures/{species_name(species)}")
            group.attrs.update(cell=np.array(sim.structure.cell), spacegroup=sim.structure.space_group, cell_factor=1.0)
            group["hkl"], group["I"] = true.hkl, true.I
        _write_detector(file.create_group("detector"), sim)
        for index, sweep in enumerate(sweeps):
            _write_crystal(file.create_group(f"crystals/{sweep.crystal.name}"), sim, sweep, sim.sweep_name(index))


def _write_detector(group: h5py.Group, sim: SimulatedSet) -> None:
    instrument = build(sim)
    true, header = instrument.panel, instrument.header_detector[0]
    group.attrs.update(
        material=true.material, mu=true.mu, thick=true.thickness, px=true.pixel_size[0], distance=sim.detector.distance,
        cutoff=sim.detector.saturation,
    )  # fmt: skip
    group["fast"], group["slow"], group["origin"] = true.fast_axis, true.slow_axis, true.origin
    group["meta_fast"], group["meta_slow"], group["meta_origin"] = header.fast_axis, header.slow_axis, header.origin
    group["hot_yx"], group["dead_yx"] = instrument.hot, instrument.dead


def _write_crystal(group: h5py.Group, sim: SimulatedSet, sweep: TrueSweep, name: str) -> None:
    crystal, reflections = sweep.crystal, sweep.reflections
    group.attrs.update(
        species=species_name(crystal.species), structure=species_name(crystal.species), bad=crystal.bad,
        scale=crystal.scale, B_extra=crystal.b_extra, setting=crystal.setting, cell=crystal.cell,
        sigma_M_deg=np.rad2deg(crystal.sigma_M), sigma_D_deg=np.rad2deg(crystal.sigma_D),
    )  # fmt: skip
    group["A"], group["A_lattice"], group["U"] = crystal.A, crystal.A_lattice, crystal.U
    one = group.create_group("sweep1")
    chi = 0.0 if sim.sweep.chi is None else sim.sweep.chi
    one.attrs.update(name=name, omega0=crystal.start, width=sim.sweep.width, nimg=sim.sweep.images, chi=chi, phi=0.0)
    one["flux"], one["vol"], one["drift_rotvec"] = crystal.flux, crystal.volume, crystal.drift
    one["decay_scale"], one["decay_B"] = crystal.decay_scale, crystal.decay_b
    table = one.create_group("reflections")
    table["hkl"] = reflections.hkl.astype(np.int16)
    for axis, values in zip("xyz", reflections.xyz.T, strict=True):
        table[axis] = values
    table["on_mask"] = sweep.on_mask
    for column, values in (
        ("counts_full", reflections.counts_full), ("counts_recorded", reflections.counts_recorded),
        ("fraction", reflections.fraction), ("zeta", reflections.zeta), ("d", reflections.d),
        ("phi", np.rad2deg(reflections.phi)), ("I_true", reflections.I), ("cov", reflections.covariance),
    ):  # fmt: skip
        table[column] = values.astype(np.float32)


def open_truth(path: Path) -> h5py.File:
    """The file, opened for reading.

    Raises
    ------
    FileError : missing, or not a file of truth.
    """
    try:
        file = h5py.File(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error}); give the truth.h5 of a simulated set") from error
    if "structures" not in file or "crystals" not in file:
        file.close()
        raise FileError(f"{path}: holds no structures and crystals; give the truth.h5 of a simulated set")
    return file
