"""Refinement of lattices and geometry against assigned spots, with the settings that indexing wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.index.assign import Assignment
from mxdask.index.params import Indexing
from mxdask.index.spots import SweepSpots
from mxdask.modelfit.options import FitOptions, Priors
from mxdask.modelfit.static import refine_static
from mxdask.models import Crystal, Experiment, ExperimentList
from mxdask.table import Flag, ReflectionTable

REFLECTIONS_PER_DEGREE = 100.0
_QUICK_PER_DEGREE = 20.0
_QUICK_SAMPLE = 300
_QUICK_STEPS = 4
_LEAST_PER_PARAMETER = 1
# The direction of the beam is held: what a wrong one does, a shift of the detector undoes, and turning beam, detector
# and crystal together is not seen at all. ``wander`` keeps crystals that turn by themselves, or angles measured badly,
# from turning everything about the beam. A wedge takes its cell's scale from the distance, which is known well.
_PRIORS = Priors(distance=0.005, shift=2.0, tilt=2.0, beam=0.1, wander=2.0)
# What single sweeps say of the detector when they are asked to, for the average over many: crystals turn each its way.
_LOOSE_PRIORS = Priors(distance=0.01, shift=2.0, tilt=5.0, beam=0.1)


@dataclass(frozen=True, eq=False)
class Fit:
    """Refined models and what they predict.

    Attributes
    ----------
    experiments : one per sweep and lattice, sweep by sweep.
    table : all spots; ``id`` is the row of ``experiments`` or -1.
    rmsd : (experiments, 3) px, px, images. rmsd_mm : (3,) mm, mm, rad over all.
    notes : what was held fixed and why.
    n_lattices : crystals per sweep.
    """

    experiments: ExperimentList
    table: ReflectionTable
    rmsd: np.ndarray
    rmsd_mm: np.ndarray
    notes: tuple[str, ...]
    n_lattices: int

    @property
    def crystals(self) -> tuple[Crystal, ...]:
        """One per lattice."""
        return tuple(e.crystal for e in self.experiments.experiments[: self.n_lattices] if e.crystal is not None)

    @property
    def sweeps(self) -> tuple[Experiment, ...]:
        """The sweeps with refined geometry, without crystals."""
        return tuple(e.evolve(crystal=None) for e in self.experiments.experiments[:: self.n_lattices])


def fit_models(
    spots: SweepSpots,
    crystals: Sequence[Crystal],
    found: Assignment,
    params: Indexing,
    *,
    geometry_is_agreed: bool = False,
    quick: bool = False,
    loose: bool = False,
) -> Fit:
    """Refine crystals, beams and detectors against indexed spots.

    Parameters
    ----------
    spots : with the geometry to start from.
    crystals : one per lattice; a space group other than P 1 constrains the cell.
    found : lattice and indices of every spot.
    geometry_is_agreed : the detector's orientation and distance come from many sweeps and stay.
    quick : a few steps on a sample, to compare candidates.
    loose : turns of the detector are taken at the sweep's word, for an average over many sweeps.

    Raises
    ------
    MxdaskError : nothing can be refined.
    """
    experiments = ExperimentList(sweep.evolve(crystal=crystal) for sweep in spots.sweeps for crystal in crystals)
    table = indexed_table(spots.table, found, len(crystals))
    has_priors = params.refinement_protocol.geometry_prior
    options = FitOptions(
        detector_fix=("orientation", "distance") if geometry_is_agreed else (),
        priors=(_LOOSE_PRIORS if loose else _PRIORS) if has_priors else None,
        # With priors there is always enough to determine geometry; only crystals need reflections of their own.
        min_reflections_per_parameter=_LEAST_PER_PARAMETER if has_priors else 5,
        tukey_multiplier=3.0 if quick else 1.5,
        reflections_per_degree=_QUICK_PER_DEGREE if quick else REFLECTIONS_PER_DEGREE,
        minimum_sample=_QUICK_SAMPLE if quick else 1000,
        max_iterations=_QUICK_STEPS if quick else 100,
    )
    try:
        result = refine_static(experiments, table, options)
    except (ValueError, np.linalg.LinAlgError) as error:  # a wrong candidate can leave nothing that determines a model
        raise MxdaskError(f"refinement of the lattice is degenerate ({error})") from error
    return Fit(result.experiments, result.reflections, result.rmsd, result.rmsd_mm, result.notes, len(crystals))


def indexed_table(table: ReflectionTable, found: Assignment, n_lattices: int) -> ReflectionTable:
    """The spots with id, miller_index and the indexed flag of an assignment."""
    out = table.copy()
    hit = found.lattice >= 0
    out["id"] = np.where(hit, table["imageset_id"] * n_lattices + found.lattice, -1)
    out["miller_index"] = found.hkl
    out.unset_flags(np.arange(len(out)), Flag.INDEXED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER)
    out.set_flags(hit, Flag.INDEXED)
    return out
