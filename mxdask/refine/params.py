"""What a user can set in refinement; names are DIALS' where the thing is the same."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mxdask.errors import ParameterError
from mxdask.modelfit.cell_ties import CellRestraint
from mxdask.modelfit.options import FitOptions, Priors
from mxdask.params import StepParams

BeamWord = Literal["all", "in_spindle_plane", "out_spindle_plane", "wavelength"]
CrystalWord = Literal["all", "cell", "orientation"]
DetectorWord = Literal["all", "position", "orientation", "distance"]


def _field(default: Any, *, description: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class AutoReduction(StepParams):
    action: Literal["fix", "fail"] = _field(
        "fix", description="What to do with a model that has too few reflections: hold it and say so, or fail"
    )
    min_nref_per_parameter: int = _field(5, ge=1, description="Reflections each parameter needs")


class BeamParams(StepParams):
    fix: tuple[BeamWord, ...] = _field(("in_spindle_plane", "wavelength"), description="Parts of the beam to hold")


class TieToTarget(StepParams):
    values: tuple[float, float, float, float, float, float] | None = _field(
        None, description="Cell that the crystals' cells are restrained to", unit="Å, °"
    )
    sigmas: tuple[float, float, float, float, float, float] | None = _field(
        None, description="σ of each constant; 0: not restrained", unit="Å, °"
    )


class TieToGroup(StepParams):
    sigmas: tuple[float, float, float, float, float, float] | None = _field(
        None,
        description="Restrain the cells of crystals with one space group to their mean: σ of each constant; "
        "0: not restrained; default: cells are free",
        unit="Å, °",
    )


class CellRestraints(StepParams):
    tie_to_target: TieToTarget = TieToTarget()
    tie_to_group: TieToGroup = TieToGroup()


class UnitCellParams(StepParams):
    restraints: CellRestraints = CellRestraints()
    force_static: bool | None = _field(
        None, description="Keep the cell constant along the scan while the orientation varies; Auto: for sweeps < 36°"
    )


class CrystalParams(StepParams):
    fix: tuple[CrystalWord, ...] = _field((), description="Parts of the crystals to hold")
    unit_cell: UnitCellParams = UnitCellParams()


class DetectorParams(StepParams):
    fix: tuple[DetectorWord, ...] = _field((), description="Parts of the detectors to hold")
    hierarchy_level: int = _field(
        0,
        ge=0,
        description="0: all panels move as one body; n: each group at level n of the hierarchy by itself",
    )


class GoniometerParams(StepParams):
    fix: bool = _field(True, description="Hold the direction of the spindle")


class Parameterisation(StepParams):
    scan_varying: bool | None = _field(
        None,
        description="Let crystals change along the scan. Auto: where the sweep has at least 5° and enough reflections; "
        "False also keeps crystals shared by several scans shared",
    )
    interval_width_degrees: float = _field(
        36.0, gt=0, description="Distance of the samples of scan-varying parameters", unit="°"
    )
    block_width: float | None = _field(
        None, gt=0, description="Part of the scan that gets one model; Auto: an image", unit="°"
    )
    auto_reduction: AutoReduction = AutoReduction()
    beam: BeamParams = BeamParams()
    crystal: CrystalParams = CrystalParams()
    detector: DetectorParams = DetectorParams()
    goniometer: GoniometerParams = GoniometerParams()


class Sharing(StepParams):
    detector: Literal["auto", "shared", "per_sweep", "reference", "fixed"] = _field(
        "auto",
        description="Beam and detector of several sweeps. auto: one for all whose panels are the same and whose "
        "positions agree within the tolerances; shared: one whatever the positions; per_sweep: one each; reference: "
        "those of the sweep with most reflections, held for the others; fixed: all held as they come",
    )
    position_tolerance: float = _field(
        0.03,
        gt=0,
        description="Largest difference of origins for auto",
        unit="of the distance",
    )
    angle_tolerance: float = _field(
        1.0, gt=0, description="Largest difference of panel and beam directions for auto", unit="°"
    )


class Restraints(StepParams):
    geometry: bool = _field(
        True,
        description="Weak Gaussian priors about the starting beam and detector, and on drifts of the orientation: "
        "they hold what narrow wedges cannot determine; off for results to compare with DIALS",
    )
    distance: float | None = _field(0.01, gt=0, description="σ of the distance", unit="fraction")
    shift: float | None = _field(2.0, gt=0, description="σ of shifts of the detector", unit="mm")
    tilt: float | None = _field(2.0, gt=0, description="σ of tilts of the detector", unit="mrad")
    beam: float | None = _field(0.5, gt=0, description="σ of the direction of the beam", unit="mrad")
    drift: float | None = _field(0.2, gt=0, description="σ of a crystal's turn between samples of a scan", unit="mrad")
    wander: float | None = _field(
        2.0,
        gt=0,
        description="σ of a crystal's own turn over a whole scan: how little narrow wedges tell of a turn of beam, "
        "detector and crystals together; None: they are believed",
        unit="mrad",
    )


class Tukey(StepParams):
    iqr_multiplier: float = _field(1.5, gt=0, description="Fences, in interquartile ranges beyond the quartiles")


class Outlier(StepParams):
    algorithm: Literal["mcd", "tukey", "null"] = _field(
        "mcd",
        description="Outliers by minimum covariance determinant, or Tukey's fences, on x, y, φ residuals",
    )
    block_width: float | None = _field(
        None, gt=0, description="Part of a scan judged together; Auto: at least 18°", unit="°"
    )
    minimum_number_of_reflections: int = _field(
        20, ge=8, description="Smaller parts are judged together with their neighbours, small sweeps with each other"
    )
    tukey: Tukey = Tukey()


class Reflections(StepParams):
    reflections_per_degree: float | None = _field(
        None, gt=0, description="Random sample per degree of scan; Auto: all", unit="1/°"
    )
    minimum_sample_size: int = _field(1000, ge=1, description="Smallest sample")
    maximum_sample_size: int | None = _field(None, ge=1, description="Largest sample")
    random_seed: int = _field(42, description="Seed of samples and of outlier rejection, for every sweep the same")
    close_to_spindle_cutoff: float = _field(
        0.02, ge=0, description="Leave out reflections with |axis·(s1 × s0)| below", unit="Å⁻²"
    )
    scan_margin: float = _field(0.0, ge=0, description="Leave out either end of the scan", unit="°")
    exclude_truncated: bool = _field(
        True, description="Leave out spots cut by the first or last image, if enough others remain; DIALS uses them"
    )
    outlier: Outlier = Outlier()


class Refinery(StepParams):
    max_iterations: int = _field(100, ge=1, description="Most steps of the minimiser")


class Refinement(StepParams):
    parameterisation: Parameterisation = Parameterisation()
    sharing: Sharing = Sharing()
    restraints: Restraints = Restraints()
    reflections: Reflections = Reflections()
    refinery: Refinery = Refinery()


class Params(StepParams):
    n_static_macrocycles: int = _field(
        6, ge=1, description="Most rounds of outlier rejection and fit, crystals static; it ends when rmsds settle"
    )
    n_varying_macrocycles: int = _field(2, ge=1, description="The same with crystals varying along the scan")
    separate_independent_sets: bool = _field(True, description="Refine sweeps that share no model by themselves")
    refinement: Refinement = Refinement()


def fit_options(params: Params) -> FitOptions:
    """The engine's options; whether cells vary is decided set by set."""
    refinement = params.refinement
    model, use = refinement.parameterisation, refinement.reflections
    held = refinement.sharing.detector == "fixed"
    return FitOptions(
        beam_fix=("all",) if held else model.beam.fix,
        crystal_fix=model.crystal.fix,
        detector_fix=("all",) if held else model.detector.fix,
        goniometer_fix=model.goniometer.fix,
        hierarchy_level=model.detector.hierarchy_level,
        priors=_priors(refinement.restraints),
        cell_restraints=cell_restraints(model.crystal.unit_cell.restraints),
        outlier=use.outlier.algorithm,
        tukey_multiplier=use.outlier.tukey.iqr_multiplier,
        minimum_outlier_job=use.outlier.minimum_number_of_reflections,
        outlier_block_width=use.outlier.block_width,
        auto_reduction=model.auto_reduction.action,
        min_reflections_per_parameter=model.auto_reduction.min_nref_per_parameter,
        close_to_spindle=use.close_to_spindle_cutoff,
        scan_margin=use.scan_margin,
        exclude_truncated=use.exclude_truncated,
        reflections_per_degree=use.reflections_per_degree,
        minimum_sample=use.minimum_sample_size,
        maximum_sample=use.maximum_sample_size,
        seed=use.random_seed,
        max_iterations=refinement.refinery.max_iterations,
    )


def cell_restraints(given: CellRestraints) -> tuple[CellRestraint, ...]:
    """The engine's restraints.

    Raises
    ------
    ParameterError : a target without σ, or the other way about.
    """
    target, group = given.tie_to_target, given.tie_to_group
    if (target.values is None) != (target.sigmas is None):
        raise ParameterError("tie_to_target needs both values=a,b,c,α,β,γ and sigmas of the six")
    found = [] if target.values is None or target.sigmas is None else [CellRestraint(target.sigmas, target.values)]
    return tuple([*found, CellRestraint(group.sigmas)] if group.sigmas is not None else found)


def _priors(restraints: Restraints) -> Priors | None:
    if not restraints.geometry:
        return None
    return Priors(
        restraints.distance,
        restraints.shift,
        restraints.tilt,
        restraints.beam,
        1e-3,
        restraints.drift,
        restraints.wander,
    )
