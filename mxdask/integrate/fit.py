"""Which reflections teach the profile, and fitting it to a block's reflections (back.md 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chndtr

from mxdask.integrate import fit_kernels as columns
from mxdask.integrate.deconvolution_kernels import fit_overlapping
from mxdask.integrate.fit_kernels import fit_profiles
from mxdask.integrate.foreground import ForegroundPixels
from mxdask.integrate.measure import Measured
from mxdask.integrate.moment_fields import Centres, field_terms
from mxdask.integrate.overlaps import Neighbours
from mxdask.integrate.pooled_background import BackgroundLevels, pooled
from mxdask.integrate.profile_model import ProfileModel
from mxdask.integrate.profiles import (
    MOST_REFERENCES,
    REACH,
    STEP,
    ReferenceProfile,
    learn_profile,
    pixel_solid_angle,
)
from mxdask.integrate.rocking import rocking_factor
from mxdask.integrate.weak_spots import WeakSpots, centres, moments_of
from mxdask.models import Experiment
from mxdask.table import Flag, ReflectionTable

STRONG = 10.0  # I/σ from which a reflection may teach the profile
COMPLETE = 0.99  # and the part of it that must be recorded
COVERED = 0.5  # part of the recorded profile that must lie on usable pixels
# A pixel is left out of a fit when it is this many standard deviations too bright; the profile of a single reflection
# may be wrong by OUTLIER_MISMATCH of the expected counts (a shift of 0.1 pixel does that to a spot's flank).
OUTLIER, OUTLIER_MISMATCH = 6.0, 0.5
# Reflections whose pixels are copied together to be fitted.
AT_A_TIME = 2000
# Spots nearer than this many widths to their prediction lie inside their foreground as if they were on it.
OFF_CENTRE = 0.3


def scan_parts(experiment: Experiment, scan_step: float) -> np.ndarray:
    """(n + 1,) frame coordinates that cut the scan into parts of about ``scan_step`` degrees with a profile each."""
    assert experiment.scan is not None
    first, last = experiment.scan.array_range
    n = max(1, math.ceil(round((last - first) * abs(experiment.scan.width) / scan_step, 6)))
    return np.linspace(first, last, n + 1)


def part_of(z: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """(n,) part each frame coordinate belongs to; beyond the ends, the outermost."""
    return np.clip(np.searchsorted(parts, z, side="right") - 1, 0, len(parts) - 2)


@dataclass(frozen=True)
class Taught:
    """What a block says about the parts of the scan it touches: reflections that may teach the profile, where the
    others lie, background."""

    references: Measured
    weak: WeakSpots
    background: BackgroundLevels


@dataclass(frozen=True)
class Learnt:
    """What the fit of one part of the scan needs."""

    profile: ReferenceProfile
    background: BackgroundLevels


def taught_by(measured: Measured) -> Taught:
    """The little of a block that is handed on."""
    t, m = measured.table, measured
    levels = BackgroundLevels(t["partial_id"], t["panel"], t["xyzcal.px"], m.level, m.level_pixels, m.on_ring)
    strong, weak = candidates(measured)
    spots = WeakSpots(
        t["partial_id"][weak], t["xyzcal.px"][weak, 2], t["s1"][weak], moments_of(weak, m.pixels, m.level)
    )
    return Taught(measured.select(strong), spots, levels)


def candidates(measured: Measured) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a block that are fit to teach the profile, and those that are only too weak for it."""
    t = measured.table
    strong = t["intensity.sum.value"] >= STRONG * np.sqrt(np.maximum(t["intensity.sum.variance"], 1e-9))
    bad = (
        Flag.DONT_INTEGRATE
        | Flag.OVERLOADED
        | Flag.OVERLAPPED_FG
        | Flag.FOREGROUND_INCLUDES_BAD_PIXELS
        | Flag.IN_POWDER_RING
    )
    good = (
        ~measured.on_ring
        & (t["partiality"] > COMPLETE)
        & t.has_flags(Flag.INTEGRATED_SUM)
        & ~t.has_flags(bad, any=True)
    )
    return np.flatnonzero(good & strong), np.flatnonzero(good & ~strong)


def learn_part(
    experiment: Experiment,
    model: ProfileModel,
    parts: np.ndarray,
    part: int,
    blocks: list[Taught],
    prior: ReferenceProfile,
) -> Learnt:
    """Profile and background of one part of the scan from all blocks that may hold some of it."""
    z = np.concatenate([b.background.xyz[:, 2] for b in blocks])
    levels = BackgroundLevels.concat([b.background for b in blocks]).select(np.flatnonzero(part_of(z, parts) == part))
    return Learnt(_learn_profile(experiment, model, parts, part, blocks, prior), pooled(levels))


def _learn_profile(
    experiment: Experiment,
    model: ProfileModel,
    parts: np.ndarray,
    part: int,
    blocks: list[Taught],
    prior: ReferenceProfile,
) -> ReferenceProfile:
    """Profile of one part of the scan from the candidates of the blocks around it.

    Strong reflections up to half a part before and after it take part. ``blocks`` come in the order of the scan, so
    that the reflections do, however the scan was cut.
    """
    references = [b.references for b in blocks]
    table = ReflectionTable.concat([r.table for r in references])
    pixels = ForegroundPixels.concat([r.pixels for r in references])
    half = 0.5 * (parts[part + 1] - parts[part])
    z = table["xyzcal.px"][:, 2]
    rows = np.flatnonzero((z >= parts[part] - half) & (z < parts[part + 1] + half))
    rows = rows[np.argsort(table["partial_id"][rows], kind="stable")]
    if len(rows) > MOST_REFERENCES:
        ratio = table["intensity.sum.value"][rows] / np.sqrt(table["intensity.sum.variance"][rows])
        rows = rows[np.sort(np.argsort(-ratio, kind="stable")[:MOST_REFERENCES])]
    chosen, pixels = table.select(rows), pixels.select(rows)
    weak = WeakSpots.concat([b.weak for b in blocks]).between(parts[part] - half, parts[part + 1] + half)
    terms = field_terms(experiment, weak.s1)
    _, width = prior.fields.at(terms)
    uv, counts = centres(weak.moments, terms[:, 1], width**2)
    scan = experiment.scan
    assert scan is not None
    _, sigma_m = model.widths_at(chosen["xyzcal.px"][:, 2], scan.array_range[0])
    rocking = rocking_factor(
        pixels, chosen["background.mean"], chosen["bbox"][:, 4:].astype(np.int64), chosen["xyzcal.mm"][:, 2],
        chosen["zeta"], sigma_m, scan, prior.rocking,
    )  # fmt: skip
    return learn_profile(
        pixels, chosen["background.mean"], chosen["intensity.sum.value"],
        field_terms(experiment, chosen["s1"]),
        pixel_solid_angle(experiment, chosen["panel"].astype(np.int64), chosen["xyzcal.mm"][:, :2]),
        replace(prior, rocking=rocking), Centres(uv, counts, terms),
    )  # fmt: skip


def fit_block(
    experiment: Experiment,
    model: ProfileModel,
    parts: np.ndarray,
    learnt: dict[int, Learnt],
    measured: Measured,
    *,
    deconvolution: bool = False,
) -> ReflectionTable:
    """The block's table with profile-fitted intensities. ``learnt`` holds every part the block reaches.

    deconvolution : fit reflections that share pixels together with their neighbours.
    """
    table = measured.table.copy()
    n = len(table)
    results = np.zeros((n, 4))
    results[:, columns.VARIANCE] = -1.0
    z = table["xyzcal.px"][:, 2]
    part = part_of(z, parts)
    # Of a reflection centred outside the scan only a flank was recorded: its height says little about the whole.
    can = ~table.has_flags(Flag.DONT_INTEGRATE) & (z >= parts[0]) & (z < parts[-1])
    shared = table.has_flags(Flag.OVERLAPPED_FG) & deconvolution
    for index in np.unique(part):
        for joint in (False, True):
            chosen = np.flatnonzero((part == index) & (shared == joint))
            for start in range(0, len(chosen), AT_A_TIME):
                rows = chosen[start : start + AT_A_TIME]
                results[rows] = _fit_rows(
                    experiment, model, learnt[int(index)], table.select(rows), measured.pixels.select(rows),
                    measured.neighbours.select(rows) if joint else None, can[rows],
                )  # fmt: skip
    fitted = results[:, columns.VARIANCE] > 0
    recorded = table["partiality"]
    fitted &= results[:, columns.COVERAGE] >= COVERED * recorded
    table["intensity.prf.value"] = np.where(fitted, results[:, columns.INTENSITY], 0.0)
    table["intensity.prf.variance"] = np.where(fitted, results[:, columns.VARIANCE], -1.0)
    table["profile.correlation"] = np.where(fitted, results[:, columns.CORRELATION], 0.0)
    table.set_flags(fitted, Flag.INTEGRATED_PRF)
    table.set_flags(~fitted, Flag.FAILED_DURING_PROFILE_FITTING)
    return table


def _fit_rows(
    experiment: Experiment,
    model: ProfileModel,
    learnt: Learnt,
    table: ReflectionTable,
    pixels: ForegroundPixels,
    neighbours: Neighbours | None,
    can: np.ndarray,
) -> np.ndarray:
    """(n, 4) results of :func:`fit_profiles` with one profile, or of :func:`fit_overlapping` with ``neighbours``.

    Rows where ``can`` is False stay without a fit.
    """
    scan = experiment.scan
    assert scan is not None
    out = np.zeros((len(table), 4))
    box = table["bbox"]
    profile = learnt.profile
    background, background_pixels = learnt.background.of(table["partial_id"])
    sigma_b, sigma_m = model.widths_at(table["xyzcal.px"][:, 2], scan.array_range[0])
    sigma_m = sigma_m * profile.rocking
    centre, width = profile.fields.at(field_terms(experiment, table["s1"]))
    common = (
        pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, box[:, 4], box[:, 5],
        table["xyzcal.mm"][:, 2], table["zeta"], float(scan.angle(0.0)), float(np.deg2rad(scan.width)), sigma_m,
        background, background_pixels, centre, width,
        profile.coefficients, REACH, STEP, OUTLIER_MISMATCH, OUTLIER,
    )  # fmt: skip
    if neighbours is None:
        fit_profiles(*common, can, out)
    else:
        n = neighbours
        fit_overlapping(*common, n.start, n.uv, n.phi, n.zeta, n.sigma_m * profile.rocking, n.scale, can, out)
    inside = part_inside(centre, width, model.n_sigma * sigma_b)
    out[:, columns.INTENSITY] /= inside
    out[:, columns.VARIANCE] = np.where(out[:, columns.VARIANCE] > 0, out[:, columns.VARIANCE] / inside**2, -1.0)
    return out


def part_inside(centre: np.ndarray, width: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(n,) part of a spot inside its foreground, in units of the part that one in the middle has.

    centre, width : (n, 2) radians, of Gaussian spots; radius : (n,) of the discs, which lie about the predictions. The
    distance of a round Gaussian from a point follows a non-central χ law.
    """
    square = width[:, 0] * width[:, 1]
    reach, shift = radius**2 / square, np.sum(centre**2, axis=1) / square
    out = np.ones(len(centre))
    off = shift > OFF_CENTRE**2
    out[off] = chndtr(reach[off], 2.0, shift[off]) / -np.expm1(-0.5 * reach[off])
    return out
