"""The search for the beam position on Dask: sweeps side by side, then one shift of the detector for all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.beamposition.from_spots import (
    SweepSpots,
    best_shift,
    choose_spots,
    moved_detector,
    sweep_max_cell,
    wedges_of,
)
from mxdask.beamposition.lattice_origin import Wedge, score, search, shift_axes, smallest_of_best
from mxdask.beamposition.params import Default, Params
from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Failed, Flow
from mxdask.models import Detector, Experiment, ExperimentList
from mxdask.table import ReflectionTable

log = logging.getLogger(__name__)

_ENOUGH_VECTORS = 3  # directions, as many as DIALS asks for


def run(
    experiments: ExperimentList, reflections: ReflectionTable | None, params: Params, *, flow: Flow
) -> tuple[ExperimentList, dict[str, Any]]:
    """Find the beam position.

    Parameters
    ----------
    reflections : strong spots; not needed by the projection methods.

    Returns
    -------
    The experiments with their detectors moved, and the summary: old and new position, shift, rivals, one row per sweep.

    Raises
    ------
    MxdaskError : no position could be found. ParameterError : methods that do not go together.
    """
    methods = {params.method_x or params.method, params.method_y or params.method}
    if methods == {"default"}:
        if reflections is None:
            raise ParameterError("no .refl file given: the search from spots needs strong.refl (or choose method=)")
        return _from_spots(experiments, reflections, params.default, flow)
    if "default" in methods:
        raise ParameterError("method_x and method_y: both or neither must be a projection method")
    from mxdask.beamposition.from_images import run_projection

    return run_projection(experiments, params, flow)


def _from_spots(
    experiments: ExperimentList, reflections: ReflectionTable, params: Default, flow: Flow
) -> tuple[ExperimentList, dict[str, Any]]:
    groups = list(experiments.groups(lambda e: id(e.imageset) if e.imageset is not None else e.identifier).values())
    first = [experiments[rows[0]] for rows in groups]
    for experiment in first:
        _check(experiment)
    tables = [reflections.select(np.isin(reflections["id"], rows)) for rows in groups]
    for table in tables:
        table.shoeboxes = None
    spots = [choose_spots(e, t, params) for e, t in zip(first, tables, strict=True)]
    axes = shift_axes(first[0])
    assert first[0].detector is not None
    pixel = first[0].detector[0].pixel_size[0]
    total = np.zeros(3)
    max_cell = params.max_cell or _working_max_cell(first, tables, spots, axes, params, flow)
    # The second round looks again with the detector in its new place, where the spots repeat better.
    for _ in range(params.n_macro_cycles + 1):
        wedges = _all_wedges(spots, total, axes, max_cell, params, flow)
        best, rivals = best_shift(wedges, spots, total, axes, pixel, params)
        total = total + best.shift @ axes
    rows = _rows(first, spots, wedges, best.shift, pixel, params)
    for row in rows:
        log.debug("%s", row)
    out = _moved(experiments, total)
    summary = {
        "step": "search_beam_position", "method": "default", "max_cell": max_cell,
        "score": best.score, "rows": rows,
        "rivals_mm": [(p.shift.round(4).tolist(), round(p.score, 3)) for p in rivals],
        **_places(first[0], out[groups[0][0]].detector, total, axes),
    }  # fmt: skip
    return out, summary


def _check(experiment: Experiment) -> None:
    if lacks := experiment.lacks_for_rotation:
        raise MxdaskError(
            f"{experiment.name}: the beam position is found from spots of rotation data, but this has no {lacks}; "
            "use method=midpoint, maximum or inversion"
        )


def _common_max_cell(first: Sequence[Experiment], tables: Sequence[ReflectionTable], flow: Flow) -> float:
    """Median over the sweeps, as in DIALS."""
    results = flow.map(sweep_max_cell, list(zip(first, tables, strict=True)), name="max-cell")
    cells = [r for r in results if isinstance(r, float)]
    if not cells:
        raise MxdaskError("too few spots to estimate the longest cell axis; give max_cell=")
    return float(np.median(cells))


def _working_max_cell(
    first: Sequence[Experiment], tables: Sequence[ReflectionTable], spots: Sequence[SweepSpots], axes: np.ndarray,
    params: Default, flow: Flow,
) -> float:  # fmt: skip
    """The spots' own estimate, or twice or four times that: few spots of a large cell have no close neighbours."""
    estimate = _common_max_cell(first, tables, flow)
    for factor in (1.0, 2.0, 4.0):
        wedges = _all_wedges(spots, np.zeros(3), axes, factor * estimate, params, flow)
        if sum(len(w.vectors) for w in wedges) >= _ENOUGH_VECTORS:
            return factor * estimate
    return estimate


def _all_wedges(
    spots: Sequence[SweepSpots], shift: np.ndarray, axes: np.ndarray, max_cell: float, params: Default, flow: Flow
) -> list[Wedge]:
    items = [(k, s, shift, axes, max_cell, params) for k, s in enumerate(spots)]
    results = flow.map(wedges_of, items, name="periods")
    for s, result in zip(spots, results, strict=True):
        if isinstance(result, Failed):
            log.warning("%s left out: %s", s.experiment.name, result.reason)
    return [w for result in results if not isinstance(result, Failed) for w in result]


def _rows(
    first: Sequence[Experiment], spots: Sequence[SweepSpots], wedges: Sequence[Wedge], shift: np.ndarray, pixel: float,
    params: Default,
) -> list[dict[str, Any]]:  # fmt: skip
    """What each sweep by itself says: mean cosine at the common place, and how far its own best place is from it."""
    rows = []
    for number, (experiment, s) in enumerate(zip(first, spots, strict=True)):
        own = [w for w in wedges if w.sweep == number]
        row: dict[str, Any] = {"sweep": experiment.name, "n_spots": len(s.panel)}
        if not own:
            rows.append(row | {"status": "not used", "reason": "too few spots, or they do not repeat"})
            continue
        most = sum(len(w.rlp) * len(w.vectors) for w in own)
        row |= {"status": "ok", "n_vectors": sum(len(w.vectors) for w in own), "agreement": score(own, shift) / most}
        peaks = search(own, params.mm_search_scope, params.wide_search_binning * pixel)
        if peaks:
            alone = smallest_of_best(peaks)
            row["own_agreement"] = alone.score
            row["own_offset_px"] = [round(float(v), 3) for v in (alone.shift - shift) / pixel]
        rows.append(row)
    return rows


def _moved(experiments: ExperimentList, shift: np.ndarray) -> ExperimentList:
    """All detectors moved; those that were shared stay so."""
    known: dict[int, Detector] = {}
    out = []
    for experiment in experiments:
        detector = experiment.detector
        assert detector is not None
        out.append(experiment.evolve(detector=known.setdefault(id(detector), moved_detector(detector, shift))))
    return experiments.with_experiments(out)


def _places(experiment: Experiment, moved: Detector | None, shift: np.ndarray, axes: np.ndarray) -> dict[str, Any]:
    """Beam centre (fast, slow) before and after in mm and px of the panel the beam meets (None if it meets none)."""
    out: dict[str, Any] = {"shift_lab_mm": shift.tolist(), "shift_mm": (axes @ shift).tolist()}
    for name, detector in (("old", experiment.detector), ("new", moved)):
        out[f"{name}_centre_mm"], out[f"{name}_centre_px"] = beam_centre(experiment, detector)
    if out["old_centre_px"] and out["new_centre_px"]:
        out["shift_px"] = [b - a for a, b in zip(out["old_centre_px"], out["new_centre_px"], strict=True)]
    return out


def beam_centre(experiment: Experiment, detector: Detector | None) -> tuple[list[float] | None, list[float] | None]:
    """(fast, slow) of the direct beam in mm and px, without the parallax (DIALS prints px with it)."""
    assert experiment.beam is not None and detector is not None
    panel, mm = detector.ray_intersection(experiment.beam.s0[None])
    number = int(panel[0])
    if number < 0:
        mm = np.asarray(detector[0].ray_mm(experiment.beam.s0[None])[0])
        number = 0
        if not np.all(np.isfinite(mm)):
            return None, None
    return mm[0].tolist(), (mm[0] / np.asarray(detector[number].pixel_size)).tolist()
