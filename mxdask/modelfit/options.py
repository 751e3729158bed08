"""What a fit may move, what it leaves out, and when it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mxdask.modelfit.cell_ties import CellRestraint

OutlierMethod = Literal["null", "tukey", "mcd"]


@dataclass(frozen=True)
class Priors:
    """Standard deviations of Gaussian priors about a reference geometry; None: no prior.

    A narrow wedge of one crystal hardly tells a longer detector distance from a larger cell, or a tilt of the beam
    from a shift of the detector. With a prior such a combination stays where the geometry was set, while anything the
    data know better than this is moved by them alone (a parameter known to a tenth of its prior moves by 1 % of the
    difference). The values are what a beamline is calibrated to when nobody took great care: 1 % of the distance,
    2 mm in the position of the beam on the detector, 2 mrad in the detector's tilts, 0.5 mrad in the beam's direction.

    An orientation that drifts along the scan cannot be told from a tilted spindle (turn detector and beam with it and
    nothing changes): a drift of 0.2 mrad (0.01°) from one sample to the next keeps that combination from wandering;
    real drifts are measured to some 0.01 mrad and are not touched.

    ``wander`` is what a crystal may turn by itself over its whole scan. It makes no prior of its own, but is counted as
    an error, common to all reflections of a sweep, of the turns of everything about the beam (see ``turns``).
    """

    distance: float | None = 0.01  # fraction of the distance
    shift: float | None = 2.0  # mm
    tilt: float | None = 2.0  # mrad
    beam: float | None = 0.5  # mrad
    wavelength: float | None = 1e-3  # fraction
    drift: float | None = 0.2  # mrad
    wander: float | None = None  # mrad


@dataclass(frozen=True)
class FitOptions:
    """Options of one fit (front.md 12).

    Attributes
    ----------
    beam_fix : words of all, in_spindle_plane, out_spindle_plane, wavelength.
    crystal_fix : words of all, cell, orientation.
    detector_fix : words of all, position, orientation, distance.
    goniometer_fix : whether the goniometer stays.
    hierarchy_level : 0 moves all panels of a detector as one body, n the groups at level n.
    priors : None for none, as in DIALS.
    cell_restraints : cells tied to a target or to each other; crystals whose cell varies along the scan are left out.
    outlier : rejection on the residuals of the starting model: Tukey's fences, minimum covariance determinant, none.
    auto_reduction : what to do with a model that has too few reflections per parameter: hold it, or raise.
    close_to_spindle : Å⁻², reflections with |axis·(s1 × s0)| below are left out.
    scan_margin : degrees at either end of the scan that are left out (if 40 reflections remain).
    exclude_truncated : leave out spots that touch the scan's first or last image (if 40 others remain). Only a part
        of the crystal's mosaic blocks has diffracted there, so that not only their angle is off but x and y, too.
    reflections_per_degree : per experiment, at random but at least ``minimum_sample``; None: all.
    convergence : stop when the next step would take less than this from χ²/χ²_reduced: parameters within about
        its square root of an esd of the minimum.
    """

    beam_fix: tuple[str, ...] = ("in_spindle_plane", "wavelength")
    crystal_fix: tuple[str, ...] = ()
    detector_fix: tuple[str, ...] = ()
    goniometer_fix: bool = True
    hierarchy_level: int = 0
    priors: Priors | None = None
    cell_restraints: tuple[CellRestraint, ...] = ()
    outlier: OutlierMethod = "tukey"
    tukey_multiplier: float = 1.5
    minimum_outlier_job: int = 20
    outlier_block_width: float | None = None
    auto_reduction: Literal["fix", "fail"] = "fix"
    min_reflections_per_parameter: int = 5
    close_to_spindle: float = 0.02
    scan_margin: float = 0.0
    exclude_truncated: bool = True
    reflections_per_degree: float | None = None
    minimum_sample: int = 1000
    maximum_sample: int | None = None
    seed: int = 42
    max_iterations: int = 100
    convergence: float = 1e-3
