"""What is unusual about a crystal that was kept: weak, damaged, at odds with the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# An unusual crystal is both this many robust standard deviations and this factor away from the middle of its form.
_DEVIATIONS, _FACTOR = 6.0, 2.0
# B factors that differ by less are no damage (Å²).
_LEAST_B = 5.0
_LEAST_CRYSTALS = 5
# A crystal this many times weaker adds a sixteenth of another's weight to what both saw, and noise to the rest.
_TOO_WEAK = 4.0


def too_weak(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Per crystal whether its mean I/σ is less than a quarter of the median; never with few crystals."""
    strength = np.array([np.nan if r.get("I_over_sigma") is None else r["I_over_sigma"] for r in rows], dtype=float)
    if len(rows) < _LEAST_CRYSTALS:
        return [False] * len(rows)
    with np.errstate(invalid="ignore"):
        return [bool(w) for w in strength * _TOO_WEAK < np.nanmedian(strength)]


def unusual(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Per crystal a remark, or "".

    Parameters
    ----------
    rows : of the summary of scaling, crystals of one form: I_over_sigma, Rmerge, B.
    """
    strength, misfit, decay = (
        np.array([np.nan if r.get(k) is None else r[k] for r in rows], dtype=float)
        for k in ("I_over_sigma", "Rmerge", "B")
    )
    remarks: list[list[str]] = [[] for _ in rows]
    if len(rows) < _LEAST_CRYSTALS:
        return [""] * len(rows)
    weak = _far_off(-_log(strength)) & (strength * _FACTOR < np.nanmedian(strength))
    at_odds = _far_off(_log(misfit)) & (misfit > _FACTOR * np.nanmedian(misfit))
    off = decay - np.nanmedian(decay)
    damaged = (_far_off(decay) | _far_off(-decay)) & (np.abs(off) > _LEAST_B)
    for i, remark in enumerate(remarks):
        if weak[i]:
            remark.append(f"weak (⟨I/σ⟩ {strength[i]:.1f}, others {np.nanmedian(strength):.1f})")
        if damaged[i]:
            remark.append(f"damaged or ordered differently (B {off[i]:+.0f} Å² from the others)")
        if at_odds[i] and not weak[i]:
            remark.append(f"agrees less (Rmerge {misfit[i]:.2f}, others {np.nanmedian(misfit):.2f})")
    return ["; ".join(r) for r in remarks]


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(values > 0, np.log(values), np.nan)


def _far_off(values: np.ndarray) -> np.ndarray:
    """(n,) values above the median by many robust standard deviations."""
    middle = np.nanmedian(values)
    spread = 1.4826 * np.nanmedian(np.abs(values - middle))
    with np.errstate(invalid="ignore"):
        return np.asarray(values - middle > _DEVIATIONS * max(float(spread), 1e-6))
