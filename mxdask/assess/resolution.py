"""``estimate_resolution``: how far data are good, by any of seven measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from mxdask.assess.observations import ScaledObservations
from mxdask.intensity import estimate_resolution as fits
from mxdask.intensity.estimate_resolution import ResolutionEstimate
from mxdask.intensity.merging import Unmerged
from mxdask.intensity.resolution_bins import (
    cc_half_in_bins,
    cc_ref_in_bins,
    counting_sorted_edges,
    metric_in_bins,
    without_wilson_outliers,
)
from mxdask.params import StepParams

# In the order in which they are told; how each is written.
METRICS = {
    "cc_half": "CC½",
    "cc_ref": "CC(ref)",
    "isigma": "I/σ, unmerged",
    "misigma": "⟨I⟩/σ, merged",
    "i_mean_over_sigma_mean": "mean I / mean σ",
    "rmerge": "Rmerge",
    "completeness": "completeness",
}


class Output(StepParams):
    """Files; None for none."""

    html: str | None = Field("estimate_resolution.html", description="curves")
    json_file: str | None = Field("estimate_resolution.json", description="all numbers")


class Params(StepParams):
    """Parameters of estimate_resolution."""

    cc_half: float | None = Field(0.3, gt=0, le=1, description="least CC½")
    cc_ref: float | None = Field(0.1, gt=0, le=1, description="least correlation with the reference")
    isigma: float | None = Field(None, gt=0, description="least mean of I/σ of observations")
    misigma: float | None = Field(None, gt=0, description="least mean of I/σ of merged intensities")
    i_mean_over_sigma_mean: float | None = Field(None, gt=0, description="least mean I over mean σ, merged")
    rmerge: float | None = Field(None, gt=0, description="largest Rmerge")
    completeness: float | None = Field(None, gt=0, le=1, description="least completeness, as a fraction")
    cc_half_method: Literal["half_dataset", "sigma_tau"] = Field("half_dataset", description="how CC½ is computed")
    cc_half_significance_level: float = Field(0.1, gt=0, lt=1, description="bins whose CC½ may be chance do not count")
    cc_half_fit: Literal["tanh", "polynomial"] = Field("tanh", description="curve through CC½ and CC(ref)")
    nbins: int = Field(100, ge=4, description="most resolution bins")
    reflections_per_bin: int = Field(10, ge=1, description="fewest reflections of a bin")
    emax: float | None = Field(4.0, gt=0, description="observations with larger E are left out")
    reference: str | None = Field(None, description="MTZ file with reference intensities, for cc_ref")
    space_group: str | None = Field(None, description="merge in this space group; None: that of the data")
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    seed: int = Field(0, ge=0, description="seed of the half sets of CC½")
    output: Output = Output()


@dataclass(frozen=True)
class Reference:
    """Intensities (k,) of indices (k, 3) to correlate with."""

    hkl: np.ndarray
    intensity: np.ndarray


@dataclass(frozen=True)
class Limits:
    """Estimates by metric; None where no curve could be fitted or it never meets the limit."""

    found: dict[str, ResolutionEstimate | None]
    asked: dict[str, float]
    n_bins: int
    n_outliers: int

    @property
    def d_min(self) -> float | None:
        """Å, the most cautious of the estimates."""
        known = [e.d_min for e in self.found.values() if e is not None]
        return max(known) if known else None


def estimate(observations: ScaledObservations, params: Params, reference: Reference | None = None) -> Limits:
    """Resolution limits by every metric for which a limit was asked."""
    data, n_outliers = observations.within(params.d_min, params.d_max).unmerged(), 0
    if params.emax is not None:
        data, n_outliers = without_wilson_outliers(data, params.emax**2)
    edges = counting_sorted_edges(data.inverse_d_squared, params.nbins, params.reflections_per_bin)
    asked = {m: limit for m in METRICS if (limit := getattr(params, m)) is not None}
    if reference is None:
        asked.pop("cc_ref", None)
    found = {m: _one(m, limit, data, edges, params, reference) for m, limit in asked.items()}
    return Limits(found, asked, len(edges) - 1, n_outliers)


def _one(
    metric: str, limit: float, data: Unmerged, edges: np.ndarray, params: Params, reference: Reference | None
) -> ResolutionEstimate | None:
    if metric == "cc_half":
        values, pairs = cc_half_in_bins(data, edges, params.cc_half_method, params.seed)
        if params.cc_half_fit == "tanh":
            return fits.correlation_limit(edges, values, pairs, limit, params.cc_half_significance_level)
    elif metric == "cc_ref":
        assert reference is not None
        values = cc_ref_in_bins(data, edges, reference.hkl, reference.intensity)
    else:
        values = metric_in_bins(data, edges, metric)
    if metric in ("cc_half", "cc_ref"):
        curve = fits.tanh_curve if params.cc_half_fit == "tanh" else fits.polynomial_curve
    else:
        curve = fits.polynomial_curve if metric == "completeness" else fits.log_curve
    with np.errstate(invalid="ignore"):
        usable = values > 0
    return fits.fitted_limit(edges, values, usable, limit, curve, rising=metric == "rmerge")


def log_text(limits: Limits) -> str:
    """One line per metric."""
    lines = [f"{limits.n_outliers} observations left out (E too large); {limits.n_bins} bins"]
    for metric, found in limits.found.items():
        told = "no limit found" if found is None else f"{found.d_min:.2f} Å"
        lines.append(f"Resolution by {METRICS[metric]} = {limits.asked[metric]:g}: {told}")
    if len(limits.found) > 1 and limits.d_min is not None:
        lines.append(f"Resolution by all of them: {limits.d_min:.2f} Å")
    return "\n".join(lines)


def as_data(limits: Limits) -> dict[str, Any]:
    """Everything as plain data; curves from high to low resolution."""

    def curve(e: ResolutionEstimate) -> dict[str, Any]:
        values = [float(v) if np.isfinite(v) else None for v in e.cc_half]
        return {"d_min": e.d_min, "limit": e.limit, "d_star_sq": e.inverse_d_squared.tolist(),
                "observed": values, "fit": e.fit.tolist()}  # fmt: skip

    found = {m: None if e is None else curve(e) for m, e in limits.found.items()}
    return {"d_min": limits.d_min, "n_bins": limits.n_bins, "n_outliers": limits.n_outliers, "metrics": found}
