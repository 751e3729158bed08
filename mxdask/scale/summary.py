"""What scaling tells: a row per crystal, curves, and statistics for log and report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from mxdask.intensity.delta_cchalf import leave_one_out
from mxdask.intensity.merging import Unmerged, weighted_means
from mxdask.intensity.statistics import merging_statistics, shell_edges
from mxdask.intensity.tables import shell_table, summary_table, table1
from mxdask.models import Experiment
from mxdask.scale.absorption import harmonics
from mxdask.scale.combine import r_meas
from mxdask.scale.pool import Pool
from mxdask.scale.sequence import Scaled
from mxdask.text import text_table

_log = logging.getLogger(__name__)

_CURVE_POINTS = 100
_SURFACE_POINTS = 19


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
                "scale": float(scale.mean()), "scale_esd": _number(scaled.scale_esds[index]),
                "B": float(decay.mean()) if len(decay) else 0.0,
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


def image_rows(
    experiments: Sequence[Experiment], pool: Pool, scaled: Scaled, positions: Sequence[int]
) -> list[dict[str, Any]]:
    """Per crystal, arrays over its images: number of observations, mean scale factor, I/σ, Rmerge."""
    scans = [experiments[p].scan for p in positions]
    first = np.array([0 if s is None else s.array_range[0] for s in scans])
    n_images = np.array([1 if s is None else s.n_images for s in scans])
    offset = np.concatenate([[0], np.cumsum(n_images)])
    crystal = pool.experiment
    image = np.floor(pool.frame).astype(np.int64) - first[crystal]
    image = offset[crystal] + np.clip(image, 0, n_images[crystal] - 1)
    good, total = ~scaled.outlier & ~scaled.excluded, int(offset[-1])
    n = np.bincount(image[good], minlength=total)
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = {
            "scale": np.bincount(image[good], scaled.g[good], total) / n,
            "I_over_sigma": np.bincount(image[good], (scaled.intensity / np.sqrt(scaled.variance))[good], total) / n,
            "Rmerge": _r_merge(pool, scaled, good, image, total),
        }
    out = []
    for index, position in enumerate(positions):
        part = slice(offset[index], offset[index + 1])
        numbers = range(int(first[index]) + 1, int(first[index] + n_images[index]) + 1)
        row = {"sweep": experiments[position].name, "image": list(numbers), "n": n[part].tolist()}
        out.append(row | {name: [_number(v) for v in values[part]] for name, values in columns.items()})
    return out


def absorption_surfaces(
    experiments: Sequence[Experiment], pool: Pool, scaled: Scaled, positions: Sequence[int]
) -> list[dict[str, Any]]:
    """Per crystal with an absorption surface: 1 + Σ C·Y over directions in the crystal (polar and azimuth, °)."""
    polar, azimuth = np.linspace(0.0, 180.0, _SURFACE_POINTS), np.linspace(-180.0, 180.0, 2 * _SURFACE_POINTS - 1)
    theta, phi = np.deg2rad(np.meshgrid(polar, azimuth, indexing="ij"))
    directions = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    out = []
    for index, position in enumerate(positions):
        model = pool.layout.models[index]
        if model.lmax:
            _, _, c = model.split(pool.layout.of_experiment(index, scaled.parameters))
            flat = directions.reshape(-1, 3)
            surface = (1.0 + harmonics(flat, flat, model.lmax) @ c).reshape(theta.shape)
            out.append(
                {
                    "sweep": experiments[position].name, "polar": polar.tolist(), "azimuth": azimuth.tolist(),
                    "correction": surface.round(6).tolist(),
                }
            )  # fmt: skip
    return out


def free_set_statistics(pool: Pool, scaled: Scaled, free: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Rmeas and CC½ of the reflections the models were refined on, and of those held back from them."""
    good = ~scaled.outlier & ~scaled.excluded
    value, variance = scaled.intensity / scaled.g, scaled.variance / scaled.g**2
    out: dict[str, dict[str, float | None]] = {}
    for name, rows in (("work", good & ~free), ("free", good & free)):
        _, group = np.unique(pool.asu.group[rows], return_inverse=True)
        cc = leave_one_out(
            pool.asu.group[rows], np.zeros(int(rows.sum()), np.int64), value[rows], pool.inverse_d2[rows], 1
        )
        out[name] = {
            "n_observations": int(rows.sum()), "Rmeas": _number(r_meas(group, value[rows], variance[rows])),
            "CC_half": _number(cc.cc_half),
        }  # fmt: skip
    _log.info(
        text_table(
            ("set", "observations", "Rmeas", "CC½"), [(k, *v.values()) for k, v in out.items()], title="Free set"
        )
    )
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
    head += f"; background × {model.background:.2f}, cut reflections {model.cut:.3f}"
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


def _r_merge(pool: Pool, scaled: Scaled, good: np.ndarray, key: np.ndarray, n: int) -> np.ndarray:
    """(n,) Rmerge of the good observations by ``key``, against the means of all good ones."""
    m = len(pool.asu.unique)
    value, variance = (scaled.intensity / scaled.g)[good], (scaled.variance / scaled.g**2)[good]
    group, key = pool.asu.group[good], key[good]
    means = weighted_means(group, m, value, variance)
    several = means.n[group] > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.bincount(key[several], np.abs(value - means.mean[group])[several], n)
        return top / np.bincount(key[several], value[several], n)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
