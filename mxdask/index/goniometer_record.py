"""Which mistake in the goniometer's record makes several sweeps look like different crystals (front.md 13.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mxdask.index.joint import MAX_ANGLE, Reference, nearest_choice
from mxdask.index.known_symmetry import primitive_rows
from mxdask.index.prepare import Sweep
from mxdask.index.tasks import Result
from mxdask.models import Goniometer, rotation_matrix

_SURE = 1.0  # degrees within which all sweeps must agree under a hypothesis


def explain_disagreement(sweeps: Sequence[Sweep], results: Sequence[Result]) -> str:
    """The mistake that makes all sweeps agree, in words; "" if there is none, or nothing can be said.

    A sweep is indexed rightly even if the rotation F between crystal and scan axis is not what the header says: what is
    found is F·A, and A follows with the F that is assumed. So hypotheses about F are tried without indexing again.
    Nothing can be said of sweeps that were recorded at the same fixed angles: they are different crystals, or one that
    slipped.
    """
    solved = [(s, r.solution) for s, r in zip(sweeps, results, strict=True) if r.solution is not None]
    goniometers = [s.experiment.goniometer for s, _ in solved]
    if len(solved) < 2 or any(g is None or g.axes is None or g.angles is None for g in goniometers):
        return ""
    known = [g for g in goniometers if g is not None]
    if all(np.allclose(g.fixed_rotation, known[0].fixed_rotation, atol=1e-4) for g in known):
        return ""
    rows = [primitive_rows(solution.crystals[0]) for _, solution in solved]
    for words, turns in _hypotheses(known):
        # Real-space vectors (rows) at the scan axis are rows·Fᵀ; back to the crystal with the other F.
        moved = [r @ g.fixed_rotation.T @ turn for r, g, turn in zip(rows, known, turns, strict=True)]
        reference = Reference.of_rows(moved[0])
        changes = [nearest_choice(r, reference) for r in moved[1:]]
        angles = [180.0 if change is None else change[1] for change in changes]
        if max(angles) <= _SURE < MAX_ANGLE:
            return f"they would agree within {max(angles):.2f}° if {words}: check the goniometer's record"
    return ""


def _hypotheses(goniometers: Sequence[Goniometer]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What might be wrong, and the F (3, 3) of every sweep if it is."""
    first = goniometers[0]
    inner = range(first.scan_axis)
    if any(g.scan_axis != first.scan_axis or len(g.names) != len(first.names) for g in goniometers):
        return
    names = [first.names[k] if k < len(first.names) else f"axis {k + 1}" for k in inner]
    for k in inner:
        signs = {j: -1.0 if j == k else 1.0 for j in inner}
        yield f"{names[k]} turned the other way", [_fixed(g, signs) for g in goniometers]
    for k in inner:
        signs = {j: 0.0 if j == k else 1.0 for j in inner}
        yield f"the angle of {names[k]} were the same in all sweeps", [_fixed(g, signs) for g in goniometers]
    if len(names) > 1:
        opposite = dict.fromkeys(inner, -1.0)
        yield f"all of {', '.join(names)} turned the other way", [_fixed(g, opposite) for g in goniometers]
        ahead = dict.fromkeys(reversed(inner), 1.0)
        yield f"the axes {', '.join(names)} were listed in the wrong order", [_fixed(g, ahead) for g in goniometers]


def _fixed(goniometer: Goniometer, factors: dict[int, float]) -> np.ndarray:
    """F with the angles of the axes multiplied, in the order given (crystal first)."""
    assert goniometer.axes is not None and goniometer.angles is not None
    fixed = np.eye(3)
    for k, factor in factors.items():
        fixed = rotation_matrix(goniometer.axes[k], factor * np.deg2rad(goniometer.angles[k])) @ fixed
    return fixed
