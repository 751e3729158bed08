"""Parameters of ``mxdask process``: what most people set, and every step's own in a scope of its name."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mxdask.cosym import params as cosym_params
from mxdask.importing import params as importing_params
from mxdask.index import params as index_params
from mxdask.integrate import params as integrate_params
from mxdask.merge import export_params
from mxdask.merge import params as merge_params
from mxdask.params import StepParams, build
from mxdask.refine import params as refine_params
from mxdask.scale import params as scale_params
from mxdask.spots import params as spots_params
from mxdask.symmetry import params as symmetry_params


class Params(StepParams):
    """The whole chain. The first few are handed to the steps that know them; a step's own setting wins."""

    unit_cell: tuple[float, float, float, float, float, float] | None = Field(
        None, description="Known unit cell a,b,c,alpha,beta,gamma; a starting value that is refined.",
        json_schema_extra={"unit": "Å, degrees"},
    )  # fmt: skip
    space_group: str | None = Field(None, description="Known space group, e.g. P212121; Auto finds it.")
    d_min: float | None = Field(
        None,
        gt=0,
        description="High-resolution limit of integration, scaling and merging.",
        json_schema_extra={"unit": "Å"},
    )
    image_range: tuple[int, int] | None = Field(
        None,
        description="First and last image of every sweep to use; Auto uses all.",
        json_schema_extra={"unit": "image"},
    )
    joint: bool | None = Field(
        None, description="Index all sweeps as one crystal (true), each for itself (false), or decide from the data."
    )
    max_relative_sigma: float | None = Field(
        4.0, gt=0, description="Leave out of the merged data what only a far weaker crystal saw; None keeps all."
    )
    importing: importing_params.Params = importing_params.Params()
    find_spots: spots_params.Params = spots_params.Params()
    index: index_params.Params = index_params.Params()
    refine: refine_params.Params = refine_params.Params()
    integrate: integrate_params.Params = integrate_params.Params()
    cosym: cosym_params.Params = cosym_params.Params()
    symmetry: symmetry_params.Params = symmetry_params.Params()
    scale: scale_params.Params = scale_params.Params()
    merge: merge_params.Params = merge_params.Params()
    export: export_params.ExportParams = export_params.ExportParams()


# Common parameter → where the steps that know it have it.
_HANDED_DOWN: dict[str, tuple[tuple[str, str], ...]] = {
    "unit_cell": (("index", "indexing.known_symmetry.unit_cell"),),
    "space_group": (
        ("index", "indexing.known_symmetry.space_group"),
        ("cosym", "space_group"),
        ("symmetry", "space_group"),
    ),
    "d_min": (("integrate", "prediction.d_min"), ("scale", "cut_data.d_min"), ("merge", "d_min")),
    "max_relative_sigma": (("merge", "max_relative_sigma"),),
    "image_range": (("import", "image_range"),),
    "joint": (("index", "indexing.joint_indexing"),),
}


def step_params(params: Params, step: str, computed: dict[str, Any] | None = None) -> StepParams:
    """A step's parameters with the common ones, then the ``computed`` ones, where the user has not set its own."""
    own: StepParams = getattr(params, "importing" if step == "import" else step)
    changed: dict[str, Any] = _flatten(own.model_dump(exclude_unset=True))
    for name, places in _HANDED_DOWN.items():
        value = getattr(params, name)
        for target, path in places:
            if target == step and value is not None:
                changed.setdefault(path, value)
    for path, value in (computed or {}).items():
        if value is not None:
            changed.setdefault(path, value)
    return build(type(own), changed)


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
