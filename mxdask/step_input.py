"""What steps are given, parameters and files, looked at before they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mxdask.errors import MxdaskError
from mxdask.models import ExperimentList
from mxdask.rundir import FILES
from mxdask.table import COLUMNS, ReflectionTable

if TYPE_CHECKING:
    from mxdask.pipeline_params import Params

_MODELS: dict[str, tuple[str, ...]] = {
    "find_spots": ("imageset", "detector"),
    "index": ("beam", "detector"),
    "refine": ("beam", "detector"),
    "integrate": ("imageset", "beam", "detector", "goniometer", "scan"),
    "export": ("beam",),
    "convert": ("imageset", "detector", "scan"),
    **dict.fromkeys(
        ("predict", "create_profile_model", "refine_bravais_settings", "rbs"),
        ("beam", "detector", "goniometer", "scan"),
    ),
    "search_beam_position": ("beam", "detector"),
    "spot_counts_per_image": ("beam", "detector"),
    **dict.fromkeys(("estimate_gain", "find_bad_pixels", "image_average"), ("imageset", "detector")),
    "find_hot_pixels": ("imageset", "detector", "scan"),
}
_COLUMNS: dict[str, tuple[str, ...]] = {
    "index": ("xyzobs.px.value",),
    "refine": ("miller_index",),
    "integrate": ("miller_index",),
    **dict.fromkeys(
        ("create_profile_model", "refine_bravais_settings", "rbs", "check_indexing_symmetry"), ("miller_index",)
    ),
    **dict.fromkeys(("spot_counts_per_image", "detect_blanks", "find_hot_pixels"), ("xyzobs.px.value",)),
    **dict.fromkeys(("cosym", "symmetry", "scale", "merge", "export"), ("d",)),
}


def check_steps(params: Params) -> None:
    """Find what does not fit in any step's parameters before the first step has worked for nothing.

    Raises
    ------
    ParameterError : a value is out of bounds, or cell and space group contradict each other.
    """
    from mxdask.index.known_symmetry import TargetSymmetry
    from mxdask.index.params import Params as IndexParams
    from mxdask.pipeline_params import step_params

    steps = {step: step_params(params, step) for step in FILES}
    index = steps["index"]
    assert isinstance(index, IndexParams)
    TargetSymmetry.of(index.indexing.known_symmetry)


def check_input(step: str, experiments: ExperimentList | None, reflections: ReflectionTable | None) -> None:
    """Raise unless experiments and reflections can be what a step, or another command, works on.

    Models are asked for in all experiments, as files lack them altogether or not at all; whether there is a crystal
    is left to the steps, which leave out those without one. No reflections at all are a result of find_spots, which
    index reports sweep by sweep; every later step needs some.

    Raises
    ------
    MxdaskError : a model or column that an earlier step writes is not there; the message names it and that step.
    """
    if step == "import":
        return
    if not experiments:
        raise MxdaskError("the .expt file holds no experiment; give one that an earlier step wrote")
    for experiment in experiments:
        absent = [kind for kind in _MODELS.get(step, ()) if getattr(experiment, kind) is None]
        if absent:
            raise MxdaskError(
                f"{experiment.name}: the experiment has no {' and no '.join(absent)}, which {step} needs; "
                "give the .expt file of the step before"
            )
    if reflections is None or step not in _COLUMNS:
        return
    if len(reflections) == 0 and step != "index":
        raise MxdaskError(f"the .refl file holds no reflections for {step}; give the file of the step before")
    for name in _COLUMNS[step]:
        if name not in reflections and len(reflections):
            raise MxdaskError(
                f"the reflections have no column {name!r}, which {step} needs; "
                f"run `mxdask {_writer(name)}` first and give the file it writes"
            )


def _writer(column: str) -> str:
    by = COLUMNS[column].by
    return {"spots": "find_spots"}.get(by, by)
