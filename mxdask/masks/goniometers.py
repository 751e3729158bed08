"""The solid parts of goniometers that cast shadows, and which beamline has which (front.md 5.2).

Lengths in mm, all angles at zero: X along the spindle from the sample to the goniometer's base, Z to the source.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from mxdask.masks.shadow import Shadow, Solid
from mxdask.models import Detector, Goniometer, rotation_matrix

# Names that the format parameter ``dynamic_shadowing`` takes beside True, False and Auto.
KINDS = ("mini_kappa", "smargon", "i23_kappa", "diamond_anvil")


def shadow_of(
    detector: Detector, goniometer: Goniometer | None, asked: object, instrument: Callable[[], str]
) -> Shadow | None:
    """The shadow that counts for a sweep, or None.

    Parameters
    ----------
    asked : ``dynamic_shadowing`` of the image set: Auto (where the beamline is known to have one), True, False, or
        one of :data:`KINDS` for a goniometer of that kind elsewhere.
    instrument : gives the name of the instrument from the image file; only called when the rest does not decide.
    """
    if goniometer is None or goniometer.axes is None or asked in (False, None, "False", "false"):
        return None
    if isinstance(asked, str) and asked.lower() in KINDS:
        return Shadow(detector, goniometer, _SOLIDS[asked.lower()]())
    kind = _kind(detector, goniometer, instrument)
    if kind is None or (kind == "diamond_anvil" and str(asked).lower() == "auto"):
        return None  # a cell is not always mounted: only on request
    return Shadow(detector, goniometer, _SOLIDS[kind]())


def _kind(detector: Detector, goniometer: Goniometer, instrument: Callable[[], str]) -> str | None:
    axes = tuple(name.upper().removeprefix("GON_") for name in goniometer.names)
    if axes == ("PHI", "KAPPA", "OMEGA") and len(detector) >= 24 and detector[0].name.startswith("row-00"):
        return "i23_kappa"
    identifier = detector[0].identifier
    for serial, kinds in _DETECTORS.items():
        if re.search(rf"S/N\s*{serial}(?![\d-])", identifier):
            return _by_axes(axes, kinds)
    if len(axes) == 3 or not identifier:
        name = instrument().upper()
        if re.fullmatch(r"(DIAMOND BEAMLINE |DLS )?I0[34]", name):
            return _by_axes(axes, ("smargon", "mini_kappa"))
        if "I19-2" in name:
            return "diamond_anvil"
    return None


def _by_axes(axes: tuple[str, ...], kinds: tuple[str, ...]) -> str | None:
    """Which of the goniometers of a beamline is mounted: the middle axis tells."""
    if kinds == ("diamond_anvil",):
        return "diamond_anvil"
    mounted = {"CHI": "smargon", "KAPPA": "mini_kappa"}.get(axes[1]) if len(axes) == 3 else None
    return mounted if mounted in kinds else None


_DETECTORS = {
    "60-0126": ("smargon",),  # DLS I03
    "60-0100": ("smargon", "mini_kappa"),  # DLS I04
    "160-0001": ("smargon",),  # DLS I04
    "3-0104": ("diamond_anvil",),  # DLS I19
}


def mini_kappa() -> Solid:
    """A cone about the phi axis with its tip at the sample: full opening 43.6°."""
    height, opening = 50.0, np.deg2rad(43.60281897270362)
    rim = _circle(height, height * np.tan(opening / 2), 1.0)
    points = np.vstack([np.zeros(3), rim])
    return Solid(points, np.zeros(len(points), dtype=int))


def smargon() -> Solid:
    """SmarGon: head (half disc and square), rim of the sample holder, both turning with chi, and the lower arm."""
    angle = np.deg2rad(np.arange(-90.0, 91.0, 10.0))
    disc = np.column_stack([np.full(angle.size, 33.0), -10.0 * np.cos(angle), 10.0 * np.sin(angle)])
    depth = np.linspace(0.0, 12.8, 11)
    sides = [np.column_stack([np.full(11, 33.0), depth, np.full(11, z)]) for z in (10.0, -10.0)]
    points = np.vstack([disc, *sides, [[33.0, 12.8, 0.0]], _circle(19.0, 6.0, 15.0)])
    return Solid(points, np.ones(len(points), dtype=int), arm=_smargon_arm)


def _smargon_arm(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(n, 3) points of the lower arm: its end follows chi, the rest only moves along, and omega turns all of it.

    The arm is symmetric about the plane of phi axis and arm; points half way along its edges count, too.
    """
    end = rotation_matrix(axes[1], np.deg2rad(angles[1])) @ np.array([28.5, 4.9, 8.5])
    path = np.array([[0.0, 0.0], [13.8, 26.0], [27.5, 29.5], [65.5, 29.5]])
    path = np.vstack([path, (path[1:] + path[:-1]) / 2])
    sides = [np.column_stack([path + end[:2], np.full(len(path), z)]) for z in (end[2], -end[2])]
    middle = np.column_stack([path[[0, 3]] + end[:2], np.zeros(2)])
    return np.vstack([*sides, middle]) @ rotation_matrix(axes[2], np.deg2rad(angles[2])).T


def i23_kappa() -> Solid:
    """The kappa arm of DLS I23, turning with omega and kappa; the arm points along −Y of imgCIF."""
    base = _half_circle(np.arange(0.0, 181.0, 10.0), 107.61, 40.0)
    flank = np.array(_I23_FLANK)
    head_angle = np.deg2rad(np.arange(180.0, 361.0, 10.0))
    # Half a disc of radius 33 mm at 89.02 mm from the sample, on the kappa axis (50° from X), facing the sample.
    across, kappa = 33.0 * np.sin(head_angle), np.deg2rad(50.0)
    distance, turn = np.hypot(across, 89.02), kappa - np.arctan(across / 89.02)
    head = np.column_stack([distance * np.cos(turn), distance * np.sin(turn), -33.0 * np.cos(head_angle)])
    mirrored = flank * [1.0, 1.0, -1.0]
    points = np.vstack([np.zeros(3), base, flank, head, mirrored, [[107.61, 0.0, -40.0]]])
    points = points * [1.0, -1.0, -1.0]  # from the end station's axes (Y up, Z along the beam) to imgCIF's
    return Solid(points, np.ones(len(points), dtype=int))


_I23_FLANK = (
    (107.49, 7.84, 39.49), (107.39, 15.69, 38.97), (107.27, 23.53, 38.46), (107.16, 31.37, 37.94),
    (101.76, 33.99, 36.25), (96.37, 36.63, 34.56), (90.98, 39.25, 33.00), (85.58, 41.88, 31.18), (80.89, 47.06, 31.00),
    (76.55, 51.51, 31.03), (72.90, 55.04, 31.18), (66.86, 60.46, 31.67), (62.10, 64.41, 32.25),
)  # fmt: skip


def diamond_anvil(opening: float = 76.0) -> Solid:
    """The conical openings (full angle in deg) of a diamond anvil cell, to either side of the sample along Y."""
    height = 10.0
    rim = _circle(height, height * np.tan(np.deg2rad(opening / 2)), 1.0)[:, [1, 0, 2]]
    points = np.vstack([np.zeros(3), rim, rim * [1.0, -1.0, 1.0]])
    return Solid(points, np.zeros(len(points), dtype=int), is_aperture=True)


def _circle(x: float, radius: float, step: float) -> np.ndarray:
    angle = np.deg2rad(np.arange(0.0, 360.0, step))
    return np.column_stack([np.full(angle.size, x), -radius * np.cos(angle), radius * np.sin(angle)])


def _half_circle(degrees: np.ndarray, x: float, radius: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.column_stack([np.full(angle.size, x), -radius * np.sin(angle), -radius * np.cos(angle)])


_SOLIDS = {"mini_kappa": mini_kappa, "smargon": smargon, "i23_kappa": i23_kappa, "diamond_anvil": diamond_anvil}
