"""Scale, take out what harms CC½ most, scale again (back.md 13.9; ΔCC½ itself: ``intensity/delta_cchalf.py``)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mxdask.intensity.delta_cchalf import disagreement, leave_one_out, removal_cutoff
from mxdask.scale.params import DeltaCCHalfFilter
from mxdask.scale.pool import Pool
from mxdask.scale.sequence import Scaled

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Groups:
    """Which group each observation belongs to.

    Attributes
    ----------
    number : (n,) group of each observation of a pool.
    crystal, first, last : (g,) crystal, and the images (counted from 1) of the group.
    """

    number: np.ndarray
    crystal: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of(cls, pool: Pool, images: np.ndarray, params: DeltaCCHalfFilter) -> Groups:
        """Groups of a pool whose crystals have ``images`` (e, 2), first and last.

        The last images of a sweep join the group before, unless they are at least half a group.
        """
        if params.mode == "dataset":
            return cls(pool.experiment.astype(np.int64), np.arange(len(images)), images[:, 0], images[:, 1])
        size = params.group_size
        count = np.maximum((images[:, 1] - images[:, 0] + 1 + size // 2) // size, 1)
        start = np.concatenate([[0], np.cumsum(count)])
        crystal = np.repeat(np.arange(len(images)), count)
        first = images[crystal, 0] + (np.arange(start[-1]) - start[crystal]) * size
        last = np.where(np.arange(start[-1]) + 1 == start[crystal + 1], images[crystal, 1], first + size - 1)
        own = pool.experiment
        place = (np.floor(pool.frame).astype(np.int64) + 1 - images[own, 0]) // size
        return cls(start[own] + np.clip(place, 0, count[own] - 1), crystal, first, last)


@dataclass
class Filtered:
    """What filtering did: ``removed`` images as (crystal, first, last), and a row per cycle."""

    removed: list[tuple[int, int, int]] = field(default_factory=list)
    cycles: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""


def scale_and_filter(
    scale: Callable[[Pool], Scaled],
    pool: Pool,
    images: np.ndarray,
    n_possible: int,
    params: DeltaCCHalfFilter,
) -> tuple[Pool, Scaled, np.ndarray, Filtered]:
    """Cycles of scaling and removing groups until nothing goes or a limit is reached.

    Parameters
    ----------
    scale : scales a pool.
    images : (e, 2) first and last image of each crystal, counted from 1.
    n_possible : unique reflections that exist, for completeness.

    Returns
    -------
    pool, scaled : of what is left; crystals keep their numbers.
    crystals : (e',) which of the crystals given are left.
    filtered : the record.
    """
    groups = Groups.of(pool, images, params)
    crystals, alive = np.arange(len(images)), np.ones(len(groups.crystal), dtype=bool)
    n_start, out = len(pool), Filtered()
    for cycle in range(1, params.max_cycles + 1):
        scaled = scale(pool)
        good = ~scaled.outlier & ~scaled.excluded
        observed = pool.asu.group[good], groups.number[good], (scaled.intensity / scaled.g)[good]
        result = leave_one_out(*observed, pool.inverse_d2[good], len(alive))
        cutoff = removal_cutoff(result.delta[alive], params.stdcutoff, robust=params.robust)
        may_go = alive.copy()
        if params.mode == "image_group":
            may_go &= at_ends(groups.crystal, alive)
        harmful, z = may_go & (result.delta < cutoff.value), None
        if params.zcutoff is not None and not np.any(harmful):
            z = disagreement(*observed, (scaled.variance / scaled.g**2)[good], pool.inverse_d2[good], len(alive))
            harmful = may_go & least_consistent(z, params.zcutoff)
        chosen = _within_limits(harmful, result.delta, alive, groups.number, pool, n_start, n_possible, params)
        row = {
            "cycle": cycle, "cc_half": result.cc_half, "mean": cutoff.centre, "sd": cutoff.spread,
            "cutoff": cutoff.value, "delta": [_number(v) for v in result.delta[alive]],
            "z": None if z is None else [_number(v) for v in z[alive]],
            "groups": [_group_row(groups, i) for i in np.flatnonzero(alive).tolist()],
            "removed": [_group_row(groups, i) | {"delta": float(result.delta[i])} for i in chosen.tolist()],
        }  # fmt: skip
        out.cycles.append(row)
        for i in chosen:
            out.removed.append((int(groups.crystal[i]), int(groups.first[i]), int(groups.last[i])))
            _log.info(
                "Cycle %d: ΔCC½ %.3f %%, %s: crystal %d, images %d to %d are taken out", cycle, 100 * result.delta[i],
                f"below the cutoff {100 * cutoff.value:.3f} %" if z is None else f"{z[i]:.1f} σ from what it should be",
                groups.crystal[i] + 1, groups.first[i], groups.last[i],
            )  # fmt: skip
        if len(chosen) == 0:
            out.reason = "nothing more to take out" if not np.any(harmful) else "a limit of what may be taken out"
            return pool, scaled, crystals, out
        alive[chosen] = False
        rows = np.flatnonzero(alive[groups.number])
        pool, groups = pool.rows(rows), Groups(groups.number[rows], groups.crystal, groups.first, groups.last)
        left = np.flatnonzero(np.bincount(pool.experiment, minlength=len(crystals)) > 0)
        if len(left) < len(crystals):
            pool = pool.without(set(range(len(crystals))) - set(left.tolist()))
            crystals = crystals[left]
    out.reason = f"{params.max_cycles} cycles done"
    return pool, scale(pool), crystals, out


def least_consistent(z: np.ndarray, cutoff: float) -> np.ndarray:
    """(g,) the one group whose z is lowest, if it lies ``cutoff`` standard deviations below the median of all.

    One at a time: a bad group makes those seem bad that share most reflections or a scale curve with it. The standard
    deviation is 1, or what 1.4826 median absolute deviations say where errors are not known so well.
    """
    lowest = np.where(np.isfinite(z), z, np.inf)
    worst = int(np.argmin(lowest))
    limit = removal_cutoff(z, cutoff, robust=True)
    out = np.zeros(len(z), dtype=bool)
    out[worst] = lowest[worst] < limit.centre - cutoff * max(limit.spread, 1.0)
    return out


def at_ends(crystal: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """(g,) which groups lie at an end of what is left of their crystal; groups are ordered by crystal and image.

    A hole in the middle of a sweep would leave its models without anything to hold them there.
    """
    out = np.zeros(len(alive), dtype=bool)
    left = np.flatnonzero(alive)
    if len(left):
        change = crystal[left][1:] != crystal[left][:-1]
        out[left[np.concatenate([[True], change])]] = True
        out[left[np.concatenate([change, [True]])]] = True
    return out


def _within_limits(
    harmful: np.ndarray, delta: np.ndarray, alive: np.ndarray, number: np.ndarray, pool: Pool, n_start: int,
    n_possible: int, params: DeltaCCHalfFilter,
) -> np.ndarray:  # fmt: skip
    """Groups to take out, worst first, as far as the limits allow; the last group always stays."""
    size = np.bincount(number, minlength=len(alive))
    may_go = params.max_percent_removed / 100 * n_start - (n_start - len(pool))
    staying, chosen = alive.copy(), []
    for i in sorted(np.flatnonzero(harmful), key=lambda i: (delta[i], i)):
        if size[i] > may_go or staying.sum() == 1:
            break
        staying[i] = False
        if params.min_completeness is not None:
            unique = np.unique(pool.asu.group[staying[number]])
            present = (~pool.asu.absent[unique]).sum()
            if 100.0 * present < params.min_completeness * n_possible:
                break
        may_go -= size[i]
        chosen.append(i)
    return np.array(chosen, dtype=np.int64)


def _group_row(groups: Groups, i: int) -> dict[str, int]:
    return {"crystal": int(groups.crystal[i]), "first": int(groups.first[i]), "last": int(groups.last[i])}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
