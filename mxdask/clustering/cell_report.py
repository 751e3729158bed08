"""What ``cluster_unit_cell`` prints and keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mxdask.clustering.unit_cells import CellCluster, CellTree
from mxdask.text import text_table

HEADER = ("Cluster", "crystals", "a", "b", "c", "alpha", "beta", "gamma", "lattice", "conventional cell", "delta")


def report(result: CellTree) -> str:
    """A row per cluster of two or more crystals, then the singletons."""
    many = [(i, c) for i, c in enumerate(result.clusters, start=1) if len(c.members) > 1]
    alone = [(i, c) for i, c in enumerate(result.clusters, start=1) if len(c.members) == 1]
    blocks = []
    for title, rows in ((f"{len(many)} clusters", many), (f"{len(alone)} singletons", alone)):
        if rows:
            blocks.append(text_table(HEADER, [_row(i, c) for i, c in rows], title=title))
    return "\n\n".join([*blocks, "Medians of primitive reduced cells, standard deviations in brackets."])


def _row(number: int, cluster: CellCluster) -> tuple[str, ...]:
    cell = [f"{x:.2f} ({s:.2f})" for x, s in zip(cluster.median, cluster.sd, strict=True)]
    conventional = " ".join(f"{x:.2f}" for x in cluster.lattice.cell)
    return (
        str(number), str(len(cluster.members)), *cell, cluster.lattice.patterson_symbol, conventional,
        f"{cluster.lattice.delta:.3f}",
    )  # fmt: skip


def as_data(result: CellTree, names: Sequence[str], identifiers: Sequence[str]) -> dict[str, Any]:
    """Tree and clusters for ``cluster_unit_cell.json``; which crystal is where by row, name and identifier."""
    return {
        "names": list(names),
        "identifiers": list(identifiers),
        "linkage": result.tree.tolist(),
        "clusters": [
            {
                "members": list(c.members),
                "median_cell": c.median.tolist(),
                "sd_cell": c.sd.tolist(),
                "lattice": c.lattice.patterson_symbol,
                "bravais": c.lattice.bravais,
                "conventional_cell": c.lattice.cell.tolist(),
                "max_angular_difference": c.lattice.delta,
            }
            for c in result.clusters
        ],
    }
