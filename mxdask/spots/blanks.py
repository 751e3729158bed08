"""Parts of a sweep without diffraction (``detect_blanks``, front.md 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.models import Scan
from mxdask.table import Flag, ReflectionTable


@dataclass(frozen=True, eq=False)
class Analysis:
    """A sweep in bins of rotation.

    Attributes
    ----------
    edges : (n + 1,) z of the bins. values : (n,) spots, or mean I/σ. blank : (n,) bool.
    """

    edges: np.ndarray
    values: np.ndarray
    blank: np.ndarray

    @property
    def regions(self) -> list[tuple[int, int]]:
        """(first, last) image numbers; neighbouring blank bins are one range."""
        changes = np.flatnonzero(np.diff(np.concatenate([[False], self.blank, [False]]).astype(np.int8)))
        return [
            (round(float(self.edges[a])) + 1, round(float(self.edges[b])))
            for a, b in changes.reshape(-1, 2)
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """The parts of DIALS' blanks.json that hold numbers."""
        x = 0.5 * (self.edges[1:] + self.edges[:-1])
        return {
            "data": [{
                "x": x.tolist(), "y": self.values.tolist(), "xlow": self.edges[:-1].tolist(),
                "xhigh": self.edges[1:].tolist(), "blank": self.blank.tolist(),
            }],
            "blank_regions": [[first - 1, last] for first, last in self.regions],
        }  # fmt: skip


def bin_edges(scan: Scan, phi_step: float) -> np.ndarray:
    """z of equal bins of about ``phi_step`` degrees (a whole number of images, before they are made equal)."""
    first, end = scan.array_range
    if scan.is_still:
        return np.arange(first, end + 1, dtype=np.float64)
    images = max(1, int(np.ceil(phi_step / abs(scan.width) - 1e-9)))
    return np.linspace(first, end, max(1, round((end - first) / images)) + 1)


def detect_blanks(z: np.ndarray, scan: Scan, *, phi_step: float = 2.0, fractional_loss: float = 0.1) -> Analysis:
    """Bins with at most this fraction of the spots of the fullest one; everything is blank if there are no spots.

    Parameters
    ----------
    z : (n,) frame coordinates of the spots (or of indexed ones).
    """
    edges = bin_edges(scan, phi_step)
    counts = np.histogram(z, edges)[0]
    return Analysis(edges, counts, counts <= fractional_loss * counts.max())


def detect_weak(
    z: np.ndarray, i_over_sigma: np.ndarray, scan: Scan, *, phi_step: float = 2.0, fractional_loss: float = 0.1
) -> Analysis:
    """Bins whose mean I/σ is at most this fraction of the best one's; bins without reflections have 0."""
    edges = bin_edges(scan, phi_step)
    n = np.histogram(z, edges)[0]
    total = np.histogram(z, edges, weights=i_over_sigma)[0]
    mean = np.divide(total, n, out=np.zeros(len(n)), where=n > 0)
    return Analysis(edges, mean, mean <= fractional_loss * mean.max())


def analyse(
    table: ReflectionTable,
    scan: Scan,
    *,
    phi_step: float,
    counts_fractional_loss: float,
    misigma_fractional_loss: float,
) -> dict[str, Analysis]:
    """What the table of one sweep allows: by ``strong`` spots, ``indexed`` ones without outliers, ``integrated`` I/σ.

    Integrated intensities are the profile-fitted ones where there are any, else the summed ones.
    """
    z = table["xyzobs.px.value"][:, 2]
    strong = table.has_flags(Flag.STRONG)
    indexed = table.has_flags(Flag.INDEXED) & ~table.has_flags(Flag.CENTROID_OUTLIER)
    out = {}
    for name, rows in (("strong", strong), ("indexed", indexed)):
        if rows.any() or (name == "strong" and len(table) == 0):
            out[name] = detect_blanks(z[rows], scan, phi_step=phi_step, fractional_loss=counts_fractional_loss)
    for kind, flag in (("prf", Flag.INTEGRATED_PRF), ("sum", Flag.INTEGRATED_SUM)):
        rows = table.has_flags(flag)
        if rows.any():
            variance = table[f"intensity.{kind}.variance"][rows]
            ratio = table[f"intensity.{kind}.value"][rows] / np.sqrt(np.maximum(variance, 1e-12))
            out["integrated"] = detect_weak(
                z[rows], ratio, scan, phi_step=phi_step, fractional_loss=misigma_fractional_loss
            )
            break
    return out
