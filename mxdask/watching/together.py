"""All integrated sweeps together: crystal forms, setting, scale, groups, and how good the data are by now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mxdask.flow import Flow
from mxdask.io.experiments import load
from mxdask.multiplex.params import Params
from mxdask.multiplex.run import Result, multiplex
from mxdask.pipeline_params import Params as ProcessParams

# What is shown and plotted; names as in the statistics of scaling.
STATISTICS = ("completeness", "multiplicity", "CC_half", "I_over_sigma", "Rpim", "n_obs", "n_unique")


def with_common(params: Params, process: ProcessParams) -> Params:
    """The parameters of multiplex with what the user said of the whole chain, where multiplex was not told itself."""
    changed: dict[str, Any] = {}
    if process.space_group is not None and params.symmetry.space_group is None:
        changed["symmetry"] = params.symmetry.model_copy(update={"space_group": process.space_group})
    if process.d_min is not None and params.resolution.d_min is None:
        changed["resolution"] = params.resolution.model_copy(update={"d_min": process.d_min})
    return params.model_copy(update=changed)


def without_files(params: Params) -> Params:
    """The same without data sets: groups and statistics are enough while sweeps still come, and a first one counts."""
    clustering = params.clustering.model_copy(update={"output_clusters": False, "min_cluster_size": 1})
    return params.model_copy(update={"clustering": clustering})


def combine(folders: Sequence[Path], params: Params, out: Path, flow: Flow) -> Result:
    """Multiplex over the integrated files of some sweeps.

    Raises
    ------
    MxdaskError : no crystal is usable.
    """
    experiments, reflections = load([f / "integrated.expt" for f in folders], [f / "integrated.refl" for f in folders])
    assert reflections is not None
    return multiplex(experiments, reflections, params, out, flow)


def current_state(result: Result) -> dict[str, Any]:
    """Statistics of the largest form, sizes of its groups, all forms, as plain data."""
    state: dict[str, Any] = {
        "n_crystals": sum(d.fate == "kept" for d in result.decisions),
        "forms": [
            {"n_crystals": len(f.members), "lattice": f.lattice, "cell": [round(float(x), 3) for x in f.conventional]}
            for f in (result.forms.forms if result.forms else ())
        ],
    }
    found = result.sorted.get(1)
    if found is None:
        return state
    overall = found.scale["overall"]
    sizes = Counter(g for g in result.groups.get(1, []) if g)
    return state | {
        "space_group": found.cosym["space_group"],
        "d_min": (found.scale.get("resolution") or {}).get("d_min"),
        "groups": dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        **{name: overall.get(name) for name in STATISTICS},
    }


def fates(result: Result) -> dict[str, dict[str, str]]:
    """Identifier of the crystal → fate, form, group and reason."""
    return {
        d.identifier: {"fate": d.fate, "form": d.form, "group": d.group, "reason": d.reason} for d in result.decisions
    }
