"""``correlation_matrix``: matrices, trees, coordinates and groups of crystals that are in one setting already."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.intensity.asu import count_possible, map_to_asu
from mxdask.intensity.cells import common_space_group, median_cell
from mxdask.intensity.observations import Filters, best_choice, select_observations
from mxdask.lattice.operators import point_group
from mxdask.models import ExperimentList
from mxdask.multiplex.correlation_params import Params
from mxdask.multiplex.correlations import Correlations, Tree, correlations, normalised_sets
from mxdask.multiplex.crystals import Crystal, in_order, pick
from mxdask.multiplex.grouping import Grouping, group_crystals
from mxdask.table import ReflectionTable
from mxdask.text import text_table

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything about n crystals.

    Attributes
    ----------
    crystals : those analysed, in order. left_out : name → reason.
    experiments, tables : of the analysed crystals, for files of clusters.
    branches : of the two trees: height, members (names), completeness (%), multiplicity, by tree.
    """

    crystals: list[Crystal]
    left_out: dict[str, str]
    experiments: ExperimentList
    tables: list[ReflectionTable]
    found: Correlations
    grouping: Grouping
    branches: dict[str, list[dict[str, Any]]]

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.crystals]

    def cluster(self, group: int) -> tuple[ExperimentList, ReflectionTable]:
        """Experiments and reflections of a group (from 1)."""
        return pick(self.experiments, self.tables, [i for i, g in enumerate(self.grouping.labels) if g == group])

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        found = self.found
        return {
            "crystals": self.names, "identifiers": [c.identifier for c in self.crystals], "left_out": self.left_out,
            "correlation_matrix": np.round(found.cc, 5), "common_reflections": found.pairs,
            "cos_matrix": np.round(found.cos, 5),
            "correlation_linkage": found.cc_tree.linkage, "cos_linkage": found.cos_tree.linkage,
            "correlation_clusters": self.branches["correlation"], "cos_angle_clusters": self.branches["cos_angle"],
            "coordinates": np.round(found.coordinates, 6), "functional": found.functional,
            "significant_clusters": self.grouping.to_dict(),
        }  # fmt: skip


def analyse(experiments: ExperimentList, reflections: ReflectionTable, params: Params) -> Analysis:
    """Compare crystals with each other.

    Parameters
    ----------
    reflections : of cosym or scale.

    Raises
    ------
    MxdaskError : fewer than two crystals can be compared, or they are not in one space group.
    """
    experiments, tables, crystals = in_order(experiments, reflections)
    space_group = common_space_group(experiments)
    if space_group.number == 1 and len(experiments) > 1:
        _log.warning("The crystals are in P1: without a common setting (`mxdask cosym`) their correlations mean little")
    sets = normalised_sets(experiments, tables, params)
    left_out = {c.name: s for c, s in zip(crystals, sets, strict=True) if isinstance(s, str)}
    rows = [i for i, s in enumerate(sets) if not isinstance(s, str)]
    if len(rows) < 2:
        reasons = "; ".join(f"{n}: {r}" for n, r in left_out.items())
        raise MxdaskError(f"correlation_matrix: there must be two crystals or more with reflections. {reasons}".strip())
    kept = [crystals[i] for i in rows]
    good = [s for s in sets if not isinstance(s, str)]
    found = correlations(good, point_group(space_group), [c.seed for c in kept], params)
    chosen = experiments.with_experiments([experiments[i] for i in rows])
    own = [tables[i] for i in rows]
    together = pick(chosen, own, list(range(len(rows))))
    grouping = group_crystals(*together, [c.seed for c in kept])
    names = [c.name for c in kept]
    seen = _reflections_seen(*together)
    trees = {"correlation": found.cc_tree, "cos_angle": found.cos_tree}
    branches = {kind: branch_rows(tree, names, *seen) for kind, tree in trees.items()}
    return Analysis(kept, left_out, chosen, own, found, grouping, branches)


def branch_rows(
    tree: Tree, names: Sequence[str], seen: np.ndarray, counts: np.ndarray, possible: int
) -> list[dict[str, Any]]:
    """Every branch of a tree with its crystals, completeness and multiplicity, the lowest first.

    Parameters
    ----------
    seen : (n, m) which crystal saw which unique reflection. counts : (n,) observations of each crystal.
    possible : unique reflections there are.
    """
    masks, totals = list(seen), [int(c) for c in counts]
    rows: list[dict[str, Any]] = []
    for (a, b), (height, members) in zip(tree.linkage[:, :2].astype(int), tree.branches(), strict=True):
        masks.append(masks[a] | masks[b])
        totals.append(totals[a] + totals[b])
        unique = int(masks[-1].sum())
        rows.append(
            {
                "cluster": len(rows) + 1, "height": height, "n_crystals": len(members),
                "completeness": 100.0 * unique / max(possible, 1), "multiplicity": totals[-1] / max(unique, 1),
                "crystals": [names[i] for i in members],
            }
        )  # fmt: skip
    return rows


def report_text(analysis: Analysis) -> str:
    """Trees and groups for the log."""
    blocks = []
    for kind, rows in analysis.branches.items():
        body = [
            (
                r["cluster"],
                r["n_crystals"],
                f"{r['height']:.3f}",
                f"{r['completeness']:.1f}",
                f"{r['multiplicity']:.2f}",
            )
            for r in rows
        ]
        header = ("Cluster", "crystals", "height", "completeness", "multiplicity")
        blocks.append(text_table(header, body, title=f"{kind.replace('_', ' ')} clustering"))
    blocks.append(
        text_table(
            ("Crystal", "group", "reason"),
            [
                (n, str(g) if g else "-", r)
                for n, g, r in zip(analysis.names, analysis.grouping.labels, analysis.grouping.reasons, strict=True)
            ],
            title=f"Significant clusters: {max(analysis.grouping.labels, default=0)}",
        )
    )
    blocks += [f"{name} is left out: {reason}" for name, reason in analysis.left_out.items()]
    return "\n\n".join(blocks)


def _reflections_seen(experiments: ExperimentList, reflections: ReflectionTable) -> tuple[np.ndarray, np.ndarray, int]:
    space_group, cell = common_space_group(experiments), median_cell(experiments)
    observations = select_observations(reflections, best_choice(reflections), Filters())
    asu = map_to_asu(observations.hkl, space_group)
    seen = np.zeros((len(experiments), len(asu.unique)), dtype=bool)
    seen[observations.experiment, asu.group] = True
    d = np.asarray(cell.calculate_d_array(asu.unique))
    possible, _ = count_possible(cell, space_group, np.array([d.max() * 1.001, d.min() * 0.999]))
    return seen, np.bincount(observations.experiment, minlength=len(experiments)), int(possible.sum())
