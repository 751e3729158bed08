"""Which crystals a sweep can follow along its scan (front.md 12.6, note A18)."""

from __future__ import annotations

from mxdask.modelfit.crystal import metric_basis
from mxdask.modelfit.smoother import Smoothing
from mxdask.models import Experiment
from mxdask.refine.params import Parameterisation

NARROWEST = 5.0  # degrees
TOLERANCE = 1e-3  # degrees: widths in headers are rounded
REFLECTIONS_PER_ADDED = 5


def varying_model(experiment: Experiment, n_reflections: int, model: Parameterisation) -> tuple[Smoothing | None, str]:
    """How the crystal's samples are laid along the scan; or None, and why it stays static.

    On request every scan gets them; by default those of at least 5° with five reflections per added parameter.
    """
    scan, crystal = experiment.scan, experiment.crystal
    assert scan is not None and crystal is not None
    if model.scan_varying is False:
        return None, ""
    smoothing = Smoothing.of(
        scan, model.interval_width_degrees, model.block_width, cell_varies=cell_varies(experiment, model)
    )
    if model.scan_varying:
        return smoothing, ""
    width = abs(scan.width) * scan.n_images
    if width < NARROWEST - TOLERANCE:
        return None, f"static: the sweep has {width:.3g}° (scan_varying=True insists)"
    moving = 0 if {"all", "orientation"} & set(model.crystal.fix) else 3
    if smoothing.cell_varies and not {"all", "cell"} & set(model.crystal.fix):
        moving += len(metric_basis(crystal.space_group_hall))
    needed = REFLECTIONS_PER_ADDED * moving * (smoothing.n_samples - 1)
    if n_reflections < needed or moving == 0:
        return None, f"static: {n_reflections} reflections, {needed} are needed to follow the crystal along the scan"
    return smoothing, ""


def cell_varies(experiment: Experiment, model: Parameterisation) -> bool:
    """Whether the cell varies along with the orientation: a sweep shorter than one interval cannot show it."""
    if model.crystal.unit_cell.force_static is not None:
        return not model.crystal.unit_cell.force_static
    scan = experiment.scan
    assert scan is not None
    return abs(scan.width) * scan.n_images >= model.interval_width_degrees - TOLERANCE
