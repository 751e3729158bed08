"""How far the strong spots of an image reach: three estimates (front.md 7)."""

from __future__ import annotations

import numpy as np

_FEWEST = 10  # spots; with fewer there is no estimate
_E_CUTOFF = np.sqrt(-np.log(1e-2))
_LOW = 0.1


def resolution_from_intensities(
    d_star_sq: np.ndarray, intensity: np.ndarray, variance: np.ndarray, ice: np.ndarray
) -> float | None:
    """d_min (Å): the farthest spot below the line through the strong spots' ln(I/σ) against 1/d².

    Parameters
    ----------
    d_star_sq : (n,) Å⁻². ice : (n,) bool, spots on ice rings, which do not count.

    Returns
    -------
    None where no line can be drawn.
    """
    good = (variance > 0) & (intensity > 0)
    d_star_sq, intensity, variance, ice = d_star_sq[good], intensity[good], variance[good], ice[good]
    if np.count_nonzero(~ice) <= _FEWEST:
        return None
    log_ratio = np.log(intensity / np.sqrt(variance))
    outlier = np.zeros(len(ice), dtype=bool)
    upper, lower = [], []
    for in_bin in _equal_population(d_star_sq):
        if not np.any(in_bin & ~ice):
            continue
        outlier[in_bin] = wilson_outliers(intensity[in_bin], ice[in_bin])
        rows = np.flatnonzero(in_bin & ~ice & ~outlier)
        if len(rows) == 0:
            continue
        order = rows[np.argsort(log_ratio[rows], kind="stable")]
        low, high = order[int(_LOW * len(rows))], order[int((1 - _LOW) * len(rows))]
        # DIALS pairs each height with the other's 1/d², a difference of less than a bin; kept for equal numbers.
        upper.append((d_star_sq[low], log_ratio[high]))
        lower.append((d_star_sq[high], log_ratio[low]))
    if len(upper) < 2 or np.ptp([x for x, _ in upper]) == 0:
        return None
    slope, intercept = _line(upper)
    if slope == _line(lower)[0]:
        return None
    inside = (log_ratio < slope * d_star_sq + intercept) & ~outlier & ~ice
    return float(d_star_sq[inside].max() ** -0.5) if inside.any() else None


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Slope and intercept of the least-squares line through (x, y)."""
    x, y = np.transpose(points)
    slope, intercept = np.polyfit(x, y, 1)
    return float(slope), float(intercept)


def _equal_population(d_star_sq: np.ndarray) -> list[np.ndarray]:
    """Masks of 5 to 20 bins of about 20 spots; lower edge excluded, upper edge included."""
    ordered = np.sort(d_star_sq)
    n_bins = max(min(len(ordered) // 20, 20), 5)
    per_bin = len(ordered) / n_bins
    low, out = ordered[0], []
    for i in range(n_bins):
        high = ordered[int(np.floor((i + 1) * per_bin + 0.5)) - 1]
        out.append((d_star_sq > low) & (d_star_sq <= high))
        low = high
    return out


def wilson_outliers(intensity: np.ndarray, ice: np.ndarray) -> np.ndarray:
    """(n,) bool: acentric |E| with a probability below 1 % (Read (1999) Acta Cryst. D55, 1759), repeatedly."""
    outlier = np.zeros(len(intensity), dtype=bool)
    while True:
        basis = ~outlier & ~ice
        if not basis.any():
            return outlier
        more = ~outlier & (np.sqrt(np.maximum(intensity, 0) / intensity[basis].mean()) >= _E_CUTOFF)
        if not more.any():
            return outlier
        outlier |= more


def distl_method_1(d_star: np.ndarray) -> tuple[float, float] | None:
    """d_min (Å) and noisiness: where 1/d³ of the ordered spots bends up.

    Zhang, Sauter, van den Bedem, Snell & Deacon (2006) J. Appl. Cryst. 39, 112, section 2.4.4, method 1.
    """
    ordered = np.sort(d_star)
    step = max(2, -(-len(ordered) // 40))
    y = ordered[: (len(ordered) // step) * step : step] ** 3
    n = len(y)
    if len(d_star) <= _FEWEST or n < 5:
        return None
    slopes = (y[1:] - y[0]) / np.arange(1, n)
    last = int(np.argmax(slopes[3:])) + 4
    across = np.array([y[last] - y[0], -float(last)])
    k = np.arange(last)
    gaps = np.abs(across[0] * -k + across[1] * (y[0] - y[:last])) / np.linalg.norm(across)
    top = int(np.argmax(gaps))
    near = np.flatnonzero(gaps > gaps[top] - 0.5 * gaps.std(ddof=1))
    bend = int(max(near.max(), top))
    first, second = np.triu_indices(n - 1, 1)
    noisiness = float(np.count_nonzero(slopes[first] >= slopes[second])) / ((n - 1) * (n - 2) / 2)
    return float(y[bend] ** (-1 / 3)), noisiness


def distl_method_2(d_star: np.ndarray) -> tuple[float, float] | None:
    """d_min (Å) and noisiness: where shells of equal volume hold less than 15 % of the innermost ones' spots.

    Zhang et al. (2006), section 2.4.4, method 2.
    """
    distinct = np.unique(d_star) ** 3
    if len(d_star) <= _FEWEST or len(distinct) < 5:
        return None
    inner = int(np.ceil(min(max(25, 0.05 * len(distinct)), 0.25 * len(distinct))))
    width = distinct[inner] - distinct[0]
    n_shells = max(min(int(np.ceil((distinct[-1] - distinct[0]) / width)), 40), 20)
    edges = distinct[0] + (distinct[-1] - distinct[0]) / n_shells * np.arange(n_shells + 1)
    edges[-1] = distinct[-1]
    ordered = np.sort(d_star**3)
    counts = np.diff(np.searchsorted(ordered, edges, side="right"))
    few = counts < 0.15 * 0.5 * (counts[0] + counts[1])
    empty = np.flatnonzero(few[:-1] & few[1:])
    end = int(empty[0]) if len(empty) else n_shells - 2
    first, second = np.triu_indices(n_shells, 1)
    noisiness = float(np.count_nonzero(counts[first] <= counts[second])) / (0.5 * n_shells * (n_shells - 1))
    return float(edges[end + 1] ** (-1 / 3)), noisiness
