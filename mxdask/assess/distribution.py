"""``wilson`` and ``twinning``: parameters, what is told, pages."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from mxdask.assess.observations import ScaledObservations
from mxdask.assess.svg import Plot, Series, page
from mxdask.intensity.merging import merge
from mxdask.intensity.twinning import PERFECT_TWIN, UNTWINNED, TwinTests, twin_tests
from mxdask.intensity.wilson import WilsonPlot, wilson_plot
from mxdask.params import StepParams
from mxdask.text import text_table


class WilsonOutput(StepParams):
    """Files; None for none."""

    html: str | None = Field("wilson.html", description="picture")
    json_file: str | None = Field("wilson.json", description="all numbers")


class WilsonParams(StepParams):
    """Parameters of wilson."""

    n_residues: float = Field(200.0, gt=0, description="amino acids in the asymmetric unit (for the scale, not for B)")
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    output: WilsonOutput = WilsonOutput()


class TwinningOutput(StepParams):
    """Files; None for none."""

    html: str | None = Field("twinning.html", description="picture")
    json_file: str | None = Field("twinning.json", description="all numbers")


class TwinningParams(StepParams):
    """Parameters of twinning."""

    max_delta: float = Field(
        3.0, ge=0, description="how far from exact a lattice symmetry may be", json_schema_extra={"unit": "°"}
    )
    d_min: float | None = Field(None, gt=0, description="high-resolution limit", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="low-resolution limit", json_schema_extra={"unit": "Å"})
    output: TwinningOutput = TwinningOutput()


def wilson(observations: ScaledObservations, params: WilsonParams) -> WilsonPlot:
    """The plot of merged observations."""
    data = observations.within(params.d_min, params.d_max)
    return wilson_plot(merge(data.unmerged()), data.cell, data.space_group, params.n_residues)


def wilson_text(plot: WilsonPlot) -> str:
    """B, its anisotropy and the scale."""
    if not np.isfinite(plot.b):
        return "Too few reflections for a Wilson plot"
    axes = np.linalg.eigvalsh(plot.b_cart)
    return "\n".join(
        [
            f"Wilson B {plot.b:.2f} ± {plot.b_esd:.2f} Å² (line through {int(plot.used.sum())} shells)",
            f"Anisotropic B along its principal axes, by likelihood: {', '.join(f'{v:.2f}' for v in axes)} Å²",
            f"Scale: intensities are {np.exp(plot.ln_k):.4g} times those of the atoms",
        ]
    )


def wilson_data(plot: WilsonPlot) -> dict[str, Any]:
    """Everything as plain data."""
    ratio = [float(v) if np.isfinite(v) else None for v in plot.ln_ratio]
    return {"b": plot.b, "b_esd": plot.b_esd, "ln_k": plot.ln_k, "b_cart": plot.b_cart.tolist(),
            "d_star_sq": plot.s.tolist(), "ln_ratio": ratio, "used": plot.used.tolist()}  # fmt: skip


def wilson_page(plot: WilsonPlot) -> str:
    """Shells and line."""
    tips = [f"{s**-0.5:.2f} Å: {y:.2f}" for s, y in zip(plot.s, plot.ln_ratio, strict=True)]
    line = Series("line", plot.s, plot.ln_k - 0.5 * plot.b * plot.s)
    shells = Series("shells", plot.s, plot.ln_ratio, points=True, tips=tips)
    picture = Plot("Wilson plot", "resolution / Å", "ln(mean I / Σf²)", [shells, line], resolution=True)
    return page("Wilson plot", [picture], wilson_text(plot))


def twinning(observations: ScaledObservations, params: TwinningParams) -> TwinTests:
    """Tests of merged observations."""
    data = observations.within(params.d_min, params.d_max)
    return twin_tests(merge(data.unmerged()), data.cell, data.space_group, params.max_delta)


_LABELS = {
    "second_moment": "⟨I²⟩/⟨I⟩², acentric",
    "second_moment_centric": "⟨I²⟩/⟨I⟩², centric",
    "mean_abs_L": "⟨|L|⟩",
    "mean_L_squared": "⟨L²⟩",
}


def twinning_text(found: TwinTests) -> str:
    """Tables of tests and of twin laws, and one sentence."""
    tests = [
        (label, _number(getattr(found, name)), f"{UNTWINNED[name]:.3f}", f"{PERFECT_TWIN[name]:.3f}")
        for name, label in _LABELS.items()
    ]
    title = f"{found.n_reflections} reflections to {found.d_min:.2f} Å, {found.n_pairs_L} pairs for L"
    parts = [text_table(("test", "here", "untwinned", "perfect twin"), tests, title=title)]
    if found.laws:
        laws = [
            (w.operator, w.n_pairs, _number(w.r_twin), _number(w.alpha_h), _number(w.alpha_britton))
            for w in found.laws
        ]  # fmt: skip
        header = ("twin law", "pairs", "R", "fraction by H", "by Britton")
        parts.append(text_table(header, laws, title="Twin laws (R is about 0.5 for untwinned acentric intensities)"))
    else:
        parts.append("The lattice has no more symmetry than the crystal: no merohedral twin law.")
    return "\n\n".join([*parts, found.verdict])


def twinning_data(found: TwinTests) -> dict[str, Any]:
    """Everything as plain data."""
    tests = {name: _plain(getattr(found, name)) for name in _LABELS}
    laws = [{k: _plain(v) for k, v in vars(law).items()} for law in found.laws]
    return {"d_min": _plain(found.d_min), "n_reflections": found.n_reflections, "n_pairs_L": found.n_pairs_L, **tests,
            "abs_L": found.abs_L.tolist(), "cumulative_L": found.cumulative_L.tolist(), "laws": laws,
            "verdict": found.verdict}  # fmt: skip


def twinning_page(found: TwinTests) -> str:
    """The L-test."""
    x = found.abs_L
    curves = [
        Series("observed", x, found.cumulative_L),
        Series("untwinned", x, x, dashed=True),
        Series("perfect twin", x, x * (3 - x**2) / 2, dashed=True),
    ]
    return page("Twinning", [Plot("L-test", "|L|", "N(|L|)", curves)], twinning_text(found))


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
