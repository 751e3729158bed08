"""``compute_delta_cchalf``: data sets or groups of images without which CC½ is better, and the data without them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mxdask.assess.observations import ScaledObservations
from mxdask.errors import MxdaskError
from mxdask.intensity.asu import map_to_asu
from mxdask.intensity.delta_cchalf import Cutoff, DeltaCCHalf, leave_one_out, removal_cutoff
from mxdask.intensity.image_groups import ImageGroups, group_images, removable
from mxdask.models import Experiment, ExperimentList
from mxdask.params import StepParams
from mxdask.table import Flag, ReflectionTable
from mxdask.text import text_table


class Output(StepParams):
    """Files; None for none."""

    experiments: str | None = Field("filtered.expt", description="experiments that are left")
    reflections: str | None = Field("filtered.refl", description="reflections that are left")
    table: str | None = Field("delta_cchalf.dat", description="group and ΔCC½, lowest first")
    html: str | None = Field("compute_delta_cchalf.html", description="picture")
    json_file: str | None = Field("compute_delta_cchalf.json", description="all numbers")


class Params(StepParams):
    """Parameters of compute_delta_cchalf."""

    mode: Literal["dataset", "image_group"] = Field("dataset", description="what is left out in turn")
    group_size: int = Field(10, ge=1, description="images of a group")
    nbins: int = Field(10, ge=1, description="resolution shells, equal in 1/d²")
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    partiality_threshold: float = Field(0.99, ge=0, le=1, description="least recorded fraction of a reflection")
    stdcutoff: float = Field(4.0, gt=0, description="remove what is this many spreads below the mean ΔCC½")
    spread: Literal["sd", "mad"] = Field(
        "sd", description="sd: mean and standard deviation; mad: median and 1.4826 x median absolute deviation"
    )
    output: Output = Output()


@dataclass(frozen=True)
class Judgement:
    """ΔCC½ of every group and what follows from it.

    Attributes
    ----------
    groups : data sets (one group each, all their images) or groups of images.
    found : CC½ and ΔCC½ as fractions.
    below, removed : (g,) ΔCC½ below the cutoff; of these, what can be removed.
    """

    groups: ImageGroups
    found: DeltaCCHalf
    cutoff: Cutoff
    below: np.ndarray
    removed: np.ndarray
    names: tuple[str, ...]
    spread: str = "sd"

    def name(self, group: int) -> str:
        """Sweep, and images where groups are parts of sweeps."""
        sweep = self.names[self.groups.sweep[group]]
        if np.count_nonzero(self.groups.sweep == self.groups.sweep[group]) == 1:
            return sweep
        return f"{sweep} images {self.groups.first[group]}–{self.groups.last[group]}"


def judge(data: ScaledObservations, params: Params) -> Judgement:
    """ΔCC½ of every data set or group of images.

    Raises
    ------
    MxdaskError : there is only one group, or nothing was observed twice.
    """
    data = data.within(params.d_min, params.d_max)
    image = data.image
    span = int(np.ptp(image)) + 1 if params.mode == "dataset" else params.group_size
    groups = group_images(data.sweep, image, span)
    if len(groups) < 2:
        way = "use mode=image_group" if params.mode == "dataset" else "choose a smaller group_size"
        raise MxdaskError(f"ΔCC½ compares groups, and there is only one; {way}")
    asu = map_to_asu(data.hkl, data.space_group)
    s = 1.0 / data.cell.calculate_d_array(asu.unique) ** 2
    found = leave_one_out(asu.group, groups.group, data.intensity, s[asu.group], len(groups), params.nbins)
    if not np.isfinite(found.cc_half):
        raise MxdaskError("no two reflections of a shell were observed twice; lower nbins or add data")
    cutoff = removal_cutoff(found.delta, params.stdcutoff, robust=params.spread == "mad")
    with np.errstate(invalid="ignore"):
        below = found.delta < cutoff.value
    removed = below if params.mode == "dataset" else removable(groups, below)
    return Judgement(groups, found, cutoff, below, removed, data.names, params.spread)


def removed_sweeps(judgement: Judgement) -> list[int]:
    """Sweeps of which nothing is left."""
    groups, removed = judgement.groups, judgement.removed
    return [int(s) for s in np.unique(groups.sweep) if removed[groups.sweep == s].all()]


def without_images(
    judgement: Judgement, experiments: ExperimentList, reflections: ReflectionTable
) -> tuple[ExperimentList, ReflectionTable]:
    """Images of removed groups marked: not among the scan's valid images, reflections ``user_excluded_in_scaling``.

    Parameters
    ----------
    reflections : ids are rows of ``experiments``.
    """
    table = reflections.copy()
    image = np.floor(table["xyzobs.px.value"][:, 2]).astype(np.int64) + 1
    changed = list(experiments)
    for sweep in sorted({int(s) for s in judgement.groups.sweep[judgement.removed]}):
        kept = ~judgement.removed & (judgement.groups.sweep == sweep)
        first, last = judgement.groups.first[kept], judgement.groups.last[kept]
        outside = np.ones(len(table), dtype=bool)
        if kept.any():
            outside = (image < first.min()) | (image > last.max())
            changed[sweep] = _valid(experiments[sweep], (int(first.min()), int(last.max())))
        table.set_flags((table["id"] == sweep) & outside, int(Flag.USER_EXCLUDED_IN_SCALING))
    return experiments.with_experiments(changed), table


def _valid(experiment: Experiment, images: tuple[int, int]) -> Experiment:
    assert experiment.scan is not None
    ranges = {**experiment.scan.valid_image_ranges, experiment.identifier: [images]}
    return experiment.evolve(scan=replace(experiment.scan, valid_image_ranges=ranges))


def order(judgement: Judgement) -> np.ndarray:
    """Groups with observations, lowest ΔCC½ first."""
    delta = judgement.found.delta
    return np.argsort(delta, kind="stable")[: int(np.isfinite(delta).sum())]


def log_text(judgement: Judgement, most_rows: int = 30) -> str:
    """What people read: the lowest ΔCC½ and the cutoff, in percent."""
    found, cutoff, ranking = judgement.found, judgement.cutoff, order(judgement)
    rows = [
        (int(g), judgement.name(int(g)), int(found.n_observations[g]), f"{100 * found.per_group[g]:.3f}",
         f"{100 * found.delta[g]:.3f}", _fate(judgement, int(g)))
        for g in ranking[:most_rows]
    ]  # fmt: skip
    hopeless = _unreachable(judgement)
    title = f"ΔCC½, lowest first ({min(most_rows, len(ranking))} of {len(ranking)}), in %"
    return "\n".join(
        [
            f"CC½ of all data: {100 * found.cc_half:.3f} %",
            text_table(("group", "name", "observations", "CC½ without", "ΔCC½", ""), rows, title=title),
            f"mean {100 * cutoff.centre:.3f}, spread {100 * cutoff.spread:.3f}, cutoff {100 * cutoff.value:.3f} %",
            *([hopeless] if hopeless else []),
        ]
    )


def _unreachable(judgement: Judgement) -> str:
    """What to say when no value can lie as far from the mean as was asked: of n values the most is (n - 1)/√n sd."""
    n, cutoff = len(order(judgement)), judgement.cutoff
    if judgement.spread != "sd" or cutoff.spread == 0:
        return ""
    asked, most = (cutoff.centre - cutoff.value) / cutoff.spread, (n - 1) / np.sqrt(n)
    if asked <= most:
        return ""
    return (
        f"Of {n} values none can lie more than {most:.1f} standard deviations below their mean: with "
        f"stdcutoff={asked:g} nothing is ever removed. Give spread=mad, or a lower stdcutoff."
    )


def _fate(judgement: Judgement, group: int) -> str:
    if judgement.removed[group]:
        return "removed"
    return "below, but not at the end of a sweep" if judgement.below[group] else ""


def table_text(judgement: Judgement) -> str:
    """Lines ``group ΔCC½`` (a fraction), lowest first, as DIALS writes them."""
    return "".join(f"{g} {judgement.found.delta[g]:f}\n" for g in order(judgement))


def as_data(judgement: Judgement, params: Params) -> dict[str, Any]:
    """Everything as plain data."""
    groups, found, cutoff = judgement.groups, judgement.found, judgement.cutoff
    return {
        "mode": params.mode, "mean_cc_half": found.cc_half, "stdcutoff": params.stdcutoff, "spread": params.spread,
        "centre": cutoff.centre, "sd": cutoff.spread, "cutoff_value": cutoff.value,
        "groups": [
            {"group": int(g), "dataset": int(groups.sweep[g]), "name": judgement.name(int(g)),
             "images": [int(groups.first[g]), int(groups.last[g])], "n_observations": int(found.n_observations[g]),
             "cc_half_without": float(found.per_group[g]), "delta_cc_half": float(found.delta[g]),
             "below_cutoff": bool(judgement.below[g]), "removed": bool(judgement.removed[g])}
            for g in order(judgement)
        ],
        "datasets_fully_removed": removed_sweeps(judgement),
    }  # fmt: skip
