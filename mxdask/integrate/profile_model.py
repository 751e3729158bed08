"""Widths of the reflections: σ_b (divergence, spot size), σ_m (mosaicity, rocking width); back.md 2, Kabsch 2010.

Both come from the strong spots and their predictions. With shoeboxes in the table the pixels are used; without them the
moments that the spot table keeps (centroid, its variance, total counts) hold the same information.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf

from mxdask.errors import MxdaskError
from mxdask.geometry.kabsch import zeta as kabsch_zeta
from mxdask.geometry.predict_all import PredictedReflections
from mxdask.integrate.foreground import ranges
from mxdask.integrate.reference import Reference
from mxdask.models import Experiment
from mxdask.table import Flag, ReflectionTable

MOST_SPOTS = 10_000
SPOTS_AT_A_TIME = 500
# Widths that vary along the scan are averaged over spots with a Gaussian of this many images (back.md 2.4: a window of
# 51), where that many spots are left; elsewhere those of the whole scan stand in.
SMOOTHING, FEWEST_AROUND = 8.5, 20
# Counts where less than this part of a Gaussian lies are not of that Gaussian: each lowers log L by a fixed amount, as
# in DIALS. (Without a floor rounding would end the tail at some 8σ, with a cliff in L.)
NEGLIGIBLE = 1e-10
_SMALLEST, _LARGEST = np.deg2rad(1e-3), np.deg2rad(5.0)


@dataclass(frozen=True)
class ProfileModel:
    """Gaussian widths in Kabsch's frame, radians, and how many widths make a reflection.

    ``along_scan`` : (n_images, 2) σ_b and σ_m on every image where they vary; sigma_b and sigma_m are then their means.
    """

    sigma_b: float
    sigma_m: float
    n_sigma: float = 3.0
    along_scan: np.ndarray | None = None

    @property
    def delta_b(self) -> float:
        return self.n_sigma * self.sigma_b

    def widths_at(self, z: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
        """(n,) σ_b and (n,) σ_m of reflections at frame coordinates ``z``, in a scan that starts at ``first``."""
        if self.along_scan is None:
            return np.full(len(z), self.sigma_b), np.full(len(z), self.sigma_m)
        image = np.clip(np.floor(z).astype(np.int64) - first, 0, len(self.along_scan) - 1)
        return self.along_scan[image, 0], self.along_scan[image, 1]

    @classmethod
    def from_dict(cls, profile: dict[str, Any]) -> ProfileModel:
        """The model of an .expt file.

        Raises
        ------
        MxdaskError : another kind of profile model, or widths that are none.
        """
        if profile.get("__id__") != "gaussian_rs":
            raise MxdaskError(f"profile model {profile.get('__id__')!r} is not known; only gaussian_rs is")
        try:
            b, m = (np.deg2rad(np.atleast_1d(np.array(profile[n], dtype=np.float64))) for n in ("sigma_b", "sigma_m"))
            n_sigma = float(profile["n_sigma"])
        except (KeyError, TypeError, ValueError) as error:
            raise MxdaskError(
                "a profile model needs sigma_b, sigma_m and n_sigma; create_profile_model makes one"
            ) from error
        if len(b) != len(m) or not all(np.all(np.isfinite(v) & (v > 0)) for v in (b, m, np.array(n_sigma))):
            raise MxdaskError(
                "the profile model's widths are not positive numbers, as many sigma_b as sigma_m; "
                "create_profile_model makes new ones"
            )
        mean_b, mean_m = (float(np.sqrt(np.mean(v**2))) for v in (b, m))
        varying = np.column_stack([b, m]) if np.ndim(profile["sigma_b"]) else None
        return cls(mean_b, mean_m, n_sigma, varying)

    def to_dict(self) -> dict[str, object]:
        """As in an .expt file (degrees)."""
        widths: list[Any] = [float(np.rad2deg(self.sigma_b)), float(np.rad2deg(self.sigma_m))]
        if self.along_scan is not None:
            widths = [np.rad2deg(column).tolist() for column in self.along_scan.T]
        return {"__id__": "gaussian_rs", "n_sigma": self.n_sigma, "sigma_b": widths[0], "sigma_m": widths[1]}


@dataclass(frozen=True)
class FrameCounts:
    """Counts of reference spots per image, flat: row i of the spots owns start[i]:start[i + 1].

    ``frame`` (m,) i8 absolute image index, ``counts`` (m,) f8.
    """

    start: np.ndarray
    frame: np.ndarray
    counts: np.ndarray


def usable_reference(
    reference: Reference, predictions: PredictedReflections, experiment: Experiment, min_zeta: float
) -> Reference:
    """At most :data:`MOST_SPOTS` spots (those used in refinement first) that pass the sphere steeply enough."""
    beam, goniometer = experiment.beam, experiment.goniometer
    assert beam is not None and goniometer is not None
    rows = np.arange(len(reference))
    if len(rows) > MOST_SPOTS:
        used = reference.spots.has_flags(Flag.USED_IN_REFINEMENT)
        first, rest = rows[used], rows[~used]
        missing = MOST_SPOTS - len(first)
        if missing > 0:
            first = np.concatenate([first, rest[np.linspace(0, len(rest) - 1, min(missing, len(rest))).astype(int)]])
        rows = np.sort(first)
    z = kabsch_zeta(goniometer.lab_axis, beam.s0, predictions.s1[reference.predicted[rows]])
    rows = rows[np.abs(z) >= min_zeta]
    return Reference(reference.spots.select(rows), reference.predicted[rows])


def estimate(
    reference: Reference,
    predictions: PredictedReflections,
    experiment: Experiment,
    n_sigma: float,
    *,
    scan_varying: bool = False,
) -> ProfileModel:
    """σ_b and σ_m of one crystal from its reference spots (see :func:`usable_reference`)."""
    beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
    assert beam is not None and goniometer is not None and scan is not None
    s1 = predictions.s1[reference.predicted]
    phi = predictions.xyz_mm[reference.predicted, 2]
    if reference.spots.shoeboxes is not None:
        variances, frames = _from_pixels(reference.spots, s1, experiment)
    else:
        variances = _angular_variances_of_moments(reference.spots, s1, experiment)
        frames = _frame_counts_of_moments(reference.spots)
    good = np.isfinite(variances)
    sigma_b = float(np.sqrt(variances[good].mean())) if good.any() else float("nan")
    z = kabsch_zeta(goniometer.lab_axis, beam.s0, s1)
    start, width = float(scan.angle(0.0)), float(np.deg2rad(scan.width))
    mean = ProfileModel(sigma_b, mosaicity(z, phi, frames, start, width), n_sigma)
    if not scan_varying:
        return mean
    place = predictions.xyz_px[reference.predicted, 2]

    def around(node: float) -> tuple[float, float]:
        weight = np.exp(-0.5 * ((place - node) / SMOOTHING) ** 2)
        weight[weight < 1e-3] = 0.0
        if weight[good].sum() < FEWEST_AROUND:
            return mean.sigma_b, mean.sigma_m
        b = float(np.sqrt(np.average(variances[good], weights=weight[good])))
        return b, mosaicity(z, phi, frames, start, width, weight)

    first, last = scan.array_range
    nodes = np.linspace(first, last, max(2, round((last - first) / SMOOTHING) + 1))
    squared = np.array([around(node) for node in nodes]) ** 2
    middles = np.arange(first, last) + 0.5
    along = np.sqrt(np.column_stack([np.interp(middles, nodes, squared[:, i]) for i in (0, 1)]))
    return ProfileModel(mean.sigma_b, mean.sigma_m, n_sigma, along)


def mosaicity(
    zeta: np.ndarray, phi: np.ndarray, frames: FrameCounts, phi_zero: float, width: float,
    weight: np.ndarray | None = None,
) -> float:  # fmt: skip
    """σ_m (radians) that makes the counts on the images most likely (back.md 2.3, extended).

    log L(σ) = Σ_refl [Σ_j n_j log z_j − K log Z + log Z], z_j the part of a Gaussian rocking curve on image j, by a
    grid in log σ refined by golden section: deterministic, no starting value.

    Parameters
    ----------
    zeta, phi : (n,) Kabsch's ζ and predicted angle (radians).
    frames : counts per image.
    phi_zero, width : angle of frame coordinate 0, and per image (radians).
    weight : (n,) how much each reflection counts; None: all the same. Those with weight 0 are not looked at.
    """
    if weight is not None:
        rows = np.flatnonzero(weight > 0)
        start, index = ranges(frames.start, rows)
        frames = FrameCounts(start, frames.frame[index], frames.counts[index])
        zeta, phi, weight = zeta[rows], phi[rows], weight[rows]
    n = np.diff(frames.start)
    owner = np.repeat(np.arange(len(n)), n)
    low = (phi_zero + frames.frame * width - phi[owner]) * zeta[owner]
    high = low + width * zeta[owner]
    total = np.bincount(owner, frames.counts, len(n))
    seen = n > 0
    of_spot = np.ones(len(n)) if weight is None else weight
    of_count = frames.counts * of_spot[owner]

    def log_likelihood(log_sigma: float) -> float:
        scale = 1.0 / (np.sqrt(2.0) * np.exp(log_sigma))
        part = 0.5 * np.abs(erf(high * scale) - erf(low * scale))
        part = np.maximum(part, NEGLIGIBLE)
        whole = np.bincount(owner, part, len(n))[seen]
        lost = of_spot[seen] * (total[seen] - 1.0) * np.log(whole)
        return float(np.sum(of_count * np.log(part)) - np.sum(lost))

    grid = np.linspace(np.log(_SMALLEST), np.log(_LARGEST), 35)
    values = [log_likelihood(g) for g in grid]
    best = int(np.argmax(values))
    return float(np.exp(_golden(log_likelihood, grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])))


def _golden(function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-4) -> float:
    """Position of the maximum of a one-peaked function between ``low`` and ``high``."""
    ratio = (np.sqrt(5.0) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    fa, fb = function(a), function(b)
    while high - low > tolerance:
        if fa >= fb:
            high, b, fb = b, a, fa
            a = high - ratio * (high - low)
            fa = function(a)
        else:
            low, a, fa = a, b, fb
            b = low + ratio * (high - low)
            fb = function(b)
    return 0.5 * (low + high)


def _from_pixels(spots: ReflectionTable, s1: np.ndarray, experiment: Experiment) -> tuple[np.ndarray, FrameCounts]:
    """Angular variances and counts per image, some spots at a time so that few pixels are unpacked at once."""
    variances, depths, frame, counts = [], [], [], []
    for start in range(0, len(spots), SPOTS_AT_A_TIME):
        rows = np.arange(start, min(start + SPOTS_AT_A_TIME, len(spots)))
        part = spots.select(rows)
        variances.append(_angular_variances_of_pixels(part, s1[rows], experiment))
        found = _frame_counts_of_pixels(part)
        depths.append(np.diff(found.start))
        frame.append(found.frame)
        counts.append(found.counts)
    if not variances:
        return np.zeros(0), FrameCounts(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0))
    start_of = np.concatenate([[0], np.cumsum(np.concatenate(depths))]).astype(np.int64)
    return np.concatenate(variances), FrameCounts(start_of, np.concatenate(frame), np.concatenate(counts))


def _pixels(spots: ReflectionTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Owner row, x, y, z (pixel indices) of every shoebox element."""
    boxes = spots.shoeboxes
    assert boxes is not None
    sizes = np.diff(boxes.offset)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    index = np.arange(boxes.offset[-1]) - boxes.offset[:-1][owner]
    x0, x1, y0, y1, z0, _ = boxes.bbox.T.astype(np.int64)
    nx, ny = (x1 - x0)[owner], (y1 - y0)[owner]
    return owner, x0[owner] + index % nx, y0[owner] + index // nx % ny, z0[owner] + index // (nx * ny)


def _angular_variances_of_pixels(spots: ReflectionTable, s1: np.ndarray, experiment: Experiment) -> np.ndarray:
    """(n,) Σ c·angle(s, s1)²/(Σc − 1) over the strong pixels of each spot, radians²; NaN without counts."""
    boxes, detector = spots.shoeboxes, experiment.detector
    assert boxes is not None and detector is not None
    owner, x, y, _ = _pixels(spots)
    strong = boxes.mask != 0
    owner, x, y, counts = owner[strong], x[strong], y[strong], boxes.data[strong].astype(np.float64)
    panel = boxes.panel[owner].astype(np.int64)
    ray = detector.lab_of_pixels(panel, np.column_stack([x + 0.5, y + 0.5]))
    squared = _angle_squared(ray, s1[owner])
    total = np.bincount(owner, counts, len(spots))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 1, np.bincount(owner, counts * squared, len(spots)) / (total - 1), np.nan)


def _angle_squared(ray: np.ndarray, s1: np.ndarray) -> np.ndarray:
    sine = np.linalg.norm(np.cross(ray, s1), axis=1) / (np.linalg.norm(ray, axis=1) * np.linalg.norm(s1, axis=1))
    return np.arcsin(np.minimum(sine, 1.0)) ** 2


def _frame_counts_of_pixels(spots: ReflectionTable) -> FrameCounts:
    boxes = spots.shoeboxes
    assert boxes is not None
    owner, _, _, z = _pixels(spots)
    depth = (boxes.bbox[:, 5] - boxes.bbox[:, 4]).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(depth)])
    slot = start[owner] + z - boxes.bbox[owner, 4]
    counted = boxes.mask == 5  # valid and foreground, nothing else
    counts = np.bincount(slot[counted], boxes.data[counted], start[-1])
    frame = np.arange(start[-1]) - np.repeat(start[:-1] - boxes.bbox[:, 4], depth)
    filled = np.bincount(slot[counted], minlength=start[-1]) > 0
    kept = np.concatenate([[0], np.cumsum(np.add.reduceat(filled, start[:-1]) if len(depth) else [])]).astype(np.int64)
    return FrameCounts(kept, frame[filled], counts[filled])


def _angular_variances_of_moments(spots: ReflectionTable, s1: np.ndarray, experiment: Experiment) -> np.ndarray:
    """(n,) the same from centroid and its variance: second moment about the prediction = spread + displacement².

    The table holds σ²/S + 1/12 per axis (front.md 6.3), S the total counts, σ² the spread times S²/(S² − Σc²). A
    Gaussian spot cut where it meets the threshold has Σc²/S² near 2/(number of its strong pixels).
    """
    detector = experiment.detector
    assert detector is not None
    panel = spots["panel"].astype(np.int64)
    centroid = spots["xyzobs.px.value"][:, :2]
    spread = np.maximum(spots["xyzobs.px.variance"][:, :2] - 1 / 12, 0) * spots["intensity.sum.value"][:, None]
    spread = spread * _uncorrected(spots)[:, None]
    here = detector.lab_of_pixels(panel, centroid)
    squared = _angle_squared(here, s1)
    for axis in (0, 1):
        step = np.zeros((len(spots), 2))
        step[:, axis] = 1.0
        squared = squared + spread[:, axis] * _angle_squared(detector.lab_of_pixels(panel, centroid + step), here)
    return np.where((spots["intensity.sum.value"] > 1) & (spread.sum(axis=1) > 0), squared, np.nan)


def _uncorrected(spots: ReflectionTable) -> np.ndarray:
    """(n,) 1 − Σc²/S², estimated from the number of strong pixels."""
    return 1.0 - 2.0 / np.maximum(spots["n_signal"], 3)


def _frame_counts_of_moments(spots: ReflectionTable) -> FrameCounts:
    """Counts per image with the spot's total, centroid and variance along z, spread over the images of its box.

    Up to three images these three numbers fix the counts; beyond, a sampled Gaussian with these moments stands in.
    """
    total, centre = spots["intensity.sum.value"], spots["xyzobs.px.value"][:, 2]
    variance = np.maximum(spots["xyzobs.px.variance"][:, 2] - 1 / 12, 0) * total * _uncorrected(spots)
    z0, depth = spots["bbox"][:, 4].astype(np.int64), (spots["bbox"][:, 5] - spots["bbox"][:, 4]).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(depth)])
    owner = np.repeat(np.arange(len(depth)), depth)
    frame = np.arange(start[-1]) - start[:-1][owner] + z0[owner]
    offset = frame + 0.5 - centre[owner]
    weight = np.exp(-0.5 * offset**2 / np.maximum(variance[owner], 1e-3))
    d, m2 = (centre - z0 - 0.5)[owner], (variance + (centre - z0 - 0.5) ** 2)[owner]
    k = frame - z0[owner]
    # polynomials that are 1 on one image and 0 on the others give the exact counts for 2 and 3 images
    two = np.where(k == 0, 1 - d, d)
    three = np.choose(np.minimum(k, 2), [(m2 - 3 * d + 2) / 2, 2 * d - m2, (m2 - d) / 2])
    weight = np.where(
        depth[owner] == 1, 1.0, np.where(depth[owner] == 2, two, np.where(depth[owner] == 3, three, weight))
    )
    weight = np.maximum(weight, 0)
    norm = np.maximum(np.bincount(owner, weight, len(depth)), 1e-300)
    return FrameCounts(start, frame, weight * (total / norm)[owner])
