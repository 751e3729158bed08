"""Numbers of each crystal for the log, the report and the dashboard."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from mxdask.flow import Failed
from mxdask.models import Experiment
from mxdask.table import Flag, ReflectionTable
from mxdask.text import text_table

log = logging.getLogger(__name__)

_PER_IMAGE = (
    "xyzcal.px", "flags", "background.mean", "profile.correlation",
    *(f"intensity.{kind}.{what}" for kind in ("sum", "prf") for what in ("value", "variance")),
)  # fmt: skip


def crystal_row(experiment: Experiment, model: Any, width: Any, result: Any) -> dict[str, Any]:
    """One crystal as plain data: counts, means, and arrays per image.

    Keys: sweep, identifier, status, reason, bad_input; of crystals that were integrated also n_spots, own_widths,
    sigma_b, sigma_m (degrees), n_references, n_reflections, n_integrated_sum, n_integrated_prf, fraction_fitted (of
    those centred in the scan), mean_i_over_sigma_sum and _prf, mean_background (counts per pixel and image),
    mean_correlation, rocking_factor (width of the rocking curve in units of σ_m), and ``per_image``
    (:func:`per_image`).
    """
    row: dict[str, Any] = {"sweep": experiment.name, "identifier": experiment.identifier}
    if isinstance(result, Failed):
        return row | {"status": "failed", "reason": result.reason, "bad_input": result.bad_input}
    t = result.table
    fitted = t.has_flags(Flag.INTEGRATED_PRF)
    assert experiment.scan is not None
    first, last = experiment.scan.array_range
    centred = (t["xyzcal.px"][:, 2] >= first) & (t["xyzcal.px"][:, 2] < last)
    summed = t.has_flags(Flag.INTEGRATED_SUM)
    row |= {
        "status": "ok",
        "reason": f"{len(result.missing)} images could not be read: {result.missing[0]}" if result.missing else "",
        "bad_input": bool(result.missing),
        "n_spots": width.n_spots,
        "own_widths": bool(width.enough),
        "sigma_b": float(np.rad2deg(model.sigma_b)),
        "sigma_m": float(np.rad2deg(model.sigma_m)),
        "n_references": result.profile.n_references,
        "n_reflections": len(t),
        "n_integrated_sum": int(summed.sum()),
        "n_integrated_prf": int(fitted.sum()),
        "fraction_fitted": float(fitted[centred].mean()) if centred.any() else None,
        "rocking_factor": result.profile.rocking,
        "mean_i_over_sigma_sum": _mean_ratio(t, "sum", summed),
        "mean_i_over_sigma_prf": _mean_ratio(t, "prf", fitted),
        "mean_background": _mean(t["background.mean"]),
        "mean_correlation": _mean(t["profile.correlation"][fitted]) if "profile.correlation" in t else None,
        "per_image": per_image(experiment, t),
    }
    return row


def per_image(experiment: Experiment, table: ReflectionTable) -> dict[str, list[Any]]:
    """Reflections by the image of their predicted centre; those whose centre lies outside the scan are not counted.

    Lists with an entry per image: image (numbers from 1), n_reflections, n_fitted, i_over_sigma (profile-fitted, or
    summed where nothing was fitted), background, correlation; None where an image has no reflection.
    """
    assert experiment.scan is not None
    first, last = experiment.scan.array_range
    z = table["xyzcal.px"][:, 2]
    table = table.only(_PER_IMAGE).select((z >= first) & (z < last))
    place = np.floor(table["xyzcal.px"][:, 2]).astype(np.int64) - first
    n = last - first
    fitted = table.has_flags(Flag.INTEGRATED_PRF)
    kind = "prf" if "intensity.prf.value" in table else "sum"
    usable = fitted if kind == "prf" else table.has_flags(Flag.INTEGRATED_SUM)
    value, variance = table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"]
    ratio = np.where(usable, value / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)

    def mean(values: np.ndarray, where: np.ndarray) -> list[float | None]:
        count = np.bincount(place[where], minlength=n)
        total = np.bincount(place[where], values[where], minlength=n)
        return [round(float(s / c), 4) if c else None for s, c in zip(total, count, strict=True)]

    everything = np.ones(len(table), dtype=bool)
    correlation = table["profile.correlation"] if "profile.correlation" in table else np.zeros(len(table))
    return {
        "image": list(range(first + 1, last + 1)),
        "n_reflections": np.bincount(place, minlength=n).tolist(),
        "n_fitted": np.bincount(place[fitted], minlength=n).tolist(),
        "i_over_sigma": mean(ratio, usable),
        "background": mean(table["background.mean"], everything),
        "correlation": mean(correlation, fitted),
    }


def totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Overall numbers."""
    good = [row for row in rows if row["status"] == "ok"]
    return {
        "n_crystals": len(rows),
        "n_integrated": len(good),
        "n_reflections": sum(row["n_reflections"] for row in good),
        "n_integrated_sum": sum(row["n_integrated_sum"] for row in good),
        "n_integrated_prf": sum(row["n_integrated_prf"] for row in good),
    }


def log_rows(rows: list[dict[str, Any]]) -> None:
    """The table a user sees."""
    header = [
        "sweep",
        "σ_b (°)",
        "σ_m (°)",
        "reflections",
        "summed",
        "fitted",
        "I/σ sum",
        "I/σ prf",
        "background",
        "CC profile",
    ]
    keys = ["sigma_b", "sigma_m", "n_reflections", "n_integrated_sum", "n_integrated_prf",
            "mean_i_over_sigma_sum", "mean_i_over_sigma_prf", "mean_background", "mean_correlation"]  # fmt: skip
    shown = [[row["sweep"], *[row.get(key) for key in keys]] for row in rows if row["status"] == "ok"]
    log.info("%s", text_table(header, shown, title="Integrated"))


def _mean_ratio(table: ReflectionTable, kind: str, rows: np.ndarray) -> float | None:
    if f"intensity.{kind}.value" not in table:
        return None
    variance = table[f"intensity.{kind}.variance"][rows]
    good = variance > 0
    return _mean(table[f"intensity.{kind}.value"][rows][good] / np.sqrt(variance[good]))


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
