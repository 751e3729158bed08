"""What scaling tells: a row per crystal, curves, and statistics for log and report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.intensity.merging import Unmerged
from mxdask.intensity.statistics import merging_statistics, shell_edges
from mxdask.intensity.tables import shell_table, summary_table, table1
from mxdask.models import Experiment
from mxdask.scale.pool import Pool
from mxdask.scale.sequence import Scaled
from mxdask.text import text_table

_log = logging.getLogger(__name__)

_CURVE_POINTS = 100


def crystal_rows(
    experiments: Sequence[Experiment], pool: Pool, scaled: Scaled, positions: Sequence[int]
) -> list[dict[str, Any]]:
    """One row per scaled crystal.

    Parameters
    ----------
    positions : rows of the experiment list that the pool's crystals are.
    """
    n = len(positions)
    good = ~scaled.outlier & ~scaled.excluded
    count = np.bincount(pool.experiment[good], minlength=n)
    outliers = np.bincount(pool.experiment[scaled.outlier], minlength=n)
    with np.errstate(divide="ignore", invalid="ignore"):
        i_over_sigma = (
            np.bincount(pool.experiment[good], (scaled.intensity / np.sqrt(scaled.variance))[good], n) / count
        )
    r_merge = _r_merge(pool, scaled, good, pool.experiment, n)
    rows = []
    for index, position in enumerate(positions):
        experiment, model = experiments[position], pool.layout.models[index]
        scale, decay, _ = model.split(pool.layout.of_experiment(index, scaled.parameters))
        rows.append(
            {
                "sweep": experiment.name, "identifier": experiment.identifier, "status": "ok", "reason": "",
                "model": model.kind, "n_observations": int(count[index]), "n_outliers": int(outliers[index]),
                "scale": float(scale.mean()), "B": float(decay.mean()) if len(decay) else 0.0,
                "I_over_sigma": _number(i_over_sigma[index]), "Rmerge": _number(r_merge[index]),
            }
        )  # fmt: skip
    return rows


def curves(
    experiments: Sequence[Experiment], pool: Pool, scaled: Scaled, positions: Sequence[int]
) -> list[dict[str, Any]]:
    """Scale and B against the rotation, per crystal: sweep, phi (°), scale, B (Å²)."""
    out = []
    for index, position in enumerate(positions):
        experiment, model = experiments[position], pool.layout.models[index]
        scan = experiment.scan
        n_images = 1 if scan is None else scan.n_images
        frames = np.linspace(0.0, n_images, min(n_images, _CURVE_POINTS) + 1)
        scale, decay = model.curves(frames, pool.layout.of_experiment(index, scaled.parameters))
        phi = frames if scan is None else np.rad2deg(scan.angle(frames + scan.array_range[0]))
        out.append({"sweep": experiment.name, "phi": phi.tolist(), "scale": scale.tolist(), "B": decay.tolist()})
    return out


def image_rows(experiments: Sequence[Experiment], pool: Pool, scaled: Scaled, frame: np.ndarray,
               positions: Sequence[int]) -> list[dict[str, Any]]:  # fmt: skip
    """Per crystal, arrays over its images: number of observations, mean scale factor, I/σ, Rmerge."""
    good = ~scaled.outlier & ~scaled.excluded
    out = []
    for index, position in enumerate(positions):
        experiment = experiments[position]
        start = 0 if experiment.scan is None else experiment.scan.array_range[0]
        n_images = 1 if experiment.scan is None else experiment.scan.n_images
        mine = np.flatnonzero(good & (pool.experiment == index))
        image = np.clip(np.floor(frame[mine]).astype(np.int64) - start, 0, n_images - 1)
        n = np.bincount(image, minlength=n_images)
        with np.errstate(divide="ignore", invalid="ignore"):
            g = np.bincount(image, scaled.g[mine], n_images) / n
            snr = np.bincount(image, scaled.intensity[mine] / np.sqrt(scaled.variance[mine]), n_images) / n
        everywhere = np.full(len(pool), -1)
        everywhere[mine] = image
        r = _r_merge(pool, scaled, good & (everywhere >= 0), np.maximum(everywhere, 0), n_images, reference=good)
        out.append(
            {
                "sweep": experiment.name, "image": list(range(start + 1, start + n_images + 1)), "n": n.tolist(),
                "scale": [_number(v) for v in g], "I_over_sigma": [_number(v) for v in snr],
                "Rmerge": [_number(v) for v in r],
            }
        )  # fmt: skip
    return out


def statistics(data: Unmerged, n_shells: int, seed: int) -> dict[str, Any]:
    """Merging statistics: printed, and as plain data (``shells``, ``overall``, ``table1``)."""
    shells, overall = merging_statistics(data, shell_edges(data, n_shells), seed)
    columns = table1(shells, overall)
    _log.info(shell_table(shells, overall))
    _log.info(summary_table(columns))
    return {"shells": shells.as_lists(), "overall": overall.row(0), "table1": columns}


def error_model_table(scaled: Scaled) -> str:
    """The (first) error model as text."""
    model = scaled.error_models[0]
    limit = model.i_over_sigma_limit
    head = (
        f"Error model: σ'² = a²(σ² + (b<I>)²), a = {model.a:.4f}, b = {model.b:.4f}, "
        f"I/σ limit {'none' if limit is None else f'{limit:.1f}'}"
    )
    if model.reason:
        return f"{head} ({model.reason})"
    rows = [
        (
            f"{b['I_max']:.1f} - {b['I_min']:.1f}",
            int(b["n"]),
            f"{b['variance_before']:.3f}",
            f"{b['variance_after']:.3f}",
        )
        for b in model.bins
    ]
    return text_table(("<I>", "n", "variance before", "after"), rows, title=head)


def _r_merge(
    pool: Pool, scaled: Scaled, rows: np.ndarray, key: np.ndarray, n: int, reference: np.ndarray | None = None
) -> np.ndarray:
    """(n,) Rmerge of the observations in ``rows`` by ``key``, against the means of all in ``reference``."""
    reference = rows if reference is None else reference
    m = len(pool.asu.unique)
    value, variance = scaled.intensity / scaled.g, scaled.variance / scaled.g**2
    weight = np.where(reference, 1.0 / variance, 0.0)
    group = pool.asu.group
    total, count = np.bincount(group, weight, m), np.bincount(group[reference], minlength=m)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(group, np.where(reference, weight * value, 0.0), m) / total
        used = rows & (count[group] > 1)
        top = np.bincount(key[used], np.abs(value - mean[group])[used], n)
        return top / np.bincount(key[used], value[used], n)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
