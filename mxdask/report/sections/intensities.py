"""Integration and scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mxdask.report.figure import Figure
from mxdask.report.markup import cards, note, rows_table, table
from mxdask.report.plots import MAX_LINES, Colours, histogram, lines, per_crystal, per_image, scatter
from mxdask.report.reading import Row, array, column, good_rows, mapping, name_of, names_of, number, rows_of
from mxdask.report.section import Section
from mxdask.report.sections import scaling as extras

_MANY = 20

# Curves per image: title, axis, name in the summary.
_INTEGRATED_PER_IMAGE = (
    ("Reflections per image", "reflections", "n_reflections"),
    ("Fitted reflections per image", "reflections", "n_fitted"),
    ("Strength per image", "mean I/σ", "i_over_sigma"),
    ("Background per image", "counts/px", "background"),
    ("Profile correlation per image", "CC", "correlation"),
)
_SCALED_PER_IMAGE = (
    ("Scale per image", "scale factor", "scale"),
    ("Strength per image", "mean I/σ", "I_over_sigma"),
    ("Agreement per image", "Rmerge", "Rmerge"),
)


def integration(summary: Mapping[str, Any], colours: Colours) -> Section:
    """Widths of spots, strength, and how many reflections could be fitted."""
    section = Section("integrate", "Integration")
    rows = rows_of(summary)
    section.add(
        cards(
            {
                "reflections": summary.get("n_reflections"), "summed": summary.get("n_integrated_sum"),
                "profile-fitted": summary.get("n_integrated_prf"),
            }
        )
    )  # fmt: skip
    first = (
        "n_reflections", "n_integrated_sum", "n_integrated_prf", "fraction_fitted", "mean_i_over_sigma_prf",
        "mean_i_over_sigma_sum", "mean_background", "mean_correlation", "sigma_b", "sigma_m", "own_widths",
    )  # fmt: skip
    section.add(rows_table(rows, first, hidden=("bad_input",)))
    good = good_rows(rows)
    names = names_of(good)
    sigma_b, sigma_m = column(good, "sigma_b"), column(good, "sigma_m")
    strength = {
        "fitted": column(good, "mean_i_over_sigma_prf", "I_over_sigma"),
        "summed": column(good, "mean_i_over_sigma_sum"),
    }  # fmt: skip
    fitted = 100 * column(good, "fraction_fitted")
    section.plots(
        [
            scatter("Spot widths", "σ_b: divergence (°)", "σ_m: mosaicity (°)", sigma_b, sigma_m, names),
            per_crystal("Strength", "mean I/σ", names, strength),
            per_crystal("Profile-fitted reflections", "of those on the scan's images (%)", names, {"fitted": fitted}),
            histogram("Mosaicity", "σ_m (°)", {"σ_m": sigma_m}) if len(good) >= _MANY else None,
            *image_figures(good, _INTEGRATED_PER_IMAGE, colours),
        ]
    )  # fmt: skip
    return section


def image_figures(
    rows: Sequence[Row], wanted: Sequence[tuple[str, str, str]], colours: Colours, *, key: str | None = "per_image"
) -> list[Figure | None]:
    """Per-image curves of rows that hold them, under ``key`` or (None) themselves: title, axis, name of the curve."""
    held = [mapping(row.get(key)) if key else row for row in rows]
    names = names_of(rows)
    first = [float(images[0]) if len(images := array(h.get("image"))) else 1.0 for h in held]
    return [
        per_image(title, y, names, [array(h.get(curve)) for h in held], first, colours) for title, y, curve in wanted
    ]


def scaling(summary: Mapping[str, Any], colours: Colours) -> Section:
    """Scales and B factors, what was rejected, and the error model."""
    section = Section("scale", "Scaling")
    rows = rows_of(summary)
    model = mapping(summary.get("error_model"))
    section.add(
        cards(
            {
                "observations": summary.get("n_observations"), "outliers": summary.get("n_outliers"),
                "error model a": _short(model.get("a")), "error model b": _short(model.get("b")),
                "largest I/σ (ISa)": _short(model.get("ISa")),
            }
        )
    )  # fmt: skip
    section.add(note(str(model.get("reason") or "")))
    section.add(rows_table(rows, ("n_observations", "n_outliers", "scale", "B", "I_over_sigma", "Rmerge")))
    good = good_rows(rows)
    names = names_of(good)
    curves = rows_of(summary, "curves")
    images = rows_of(summary, "images")
    filtering = mapping(summary.get("filtering"))
    section.plots(
        [
            *_curve_figures(curves, colours),
            per_crystal("Scale", "mean scale", names, {"scale": column(good, "scale")}),
            per_crystal("B factor", "mean B (Å²)", names, {"B": column(good, "B")}),
            per_crystal("Agreement with the others", "Rmerge", names, {"Rmerge": column(good, "Rmerge")}),
            *image_figures(images, _SCALED_PER_IMAGE, colours, key=None),
            _error_model_figure(model),
            extras.probability_figure(model),
            extras.resolution_figure(mapping(summary.get("resolution"))),
            *extras.absorption_figures(rows_of(summary, "absorption")),
            *extras.filtering_figures(filtering, names_of(rows)),
        ]
    )  # fmt: skip
    section.add(_error_model_table(model))
    section.add(extras.free_table(mapping(summary.get("free_set"))))
    section.add(extras.filtering_table(filtering, names_of(rows)))
    return section


def _curve_figures(curves: Sequence[Row], colours: Colours) -> list[Figure | None]:
    """Scale and B along the rotation; for many crystals as maps of colours over the sweep's length."""
    figures: list[Figure | None] = []
    for title, y, key in (("Scale along the sweep", "scale", "scale"), ("B along the sweep", "B (Å²)", "B")):
        values = [array(c.get(key)) for c in curves]
        if len(curves) <= MAX_LINES:
            turned = [array(c.get("phi")) for c in curves]
            series = [
                (name_of(c), phi - phi[0] if len(phi) else phi, v)
                for c, phi, v in zip(curves, turned, values, strict=True)
            ]
            figures.append(lines(title, "rotation from the start (°)", y, series, colours=colours))
        else:
            figures.append(per_image(title, y, names_of(curves), values, [0.0] * len(curves)))
    return figures


def _error_model_figure(model: Row) -> Figure | None:
    bins = rows_of(model, "bins")
    if not bins:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        intensity = np.sqrt(np.abs(column(bins, "I_max") * column(bins, "I_min")))
    order = np.argsort(intensity)
    positive = order[intensity[order] > 0]
    series = [
        (name, intensity[positive], column(bins, key)[positive])
        for name, key in (("before", "variance_before"), ("after", "variance_after"))
    ]
    return lines("Normalised deviations", "⟨I⟩", "variance", series, markers=True, log_x=True)


def _error_model_table(model: Row) -> str:
    bins = rows_of(model, "bins")
    if not bins:
        return ""
    keys = [
        ("I_max", "⟨I⟩ max"),
        ("I_min", "⟨I⟩ min"),
        ("n", "n"),
        ("variance_before", "variance before"),
        ("variance_after", "after"),
    ]
    body = [[b.get(k) for k, _ in keys] for b in bins]
    return "<h3>Error model: variance of normalised deviations</h3>" + table([h for _, h in keys], body, kind="narrow")


def _short(value: Any) -> str | None:
    """Three significant digits."""
    x = number(value)
    return None if x != x else f"{x:.3g}"
