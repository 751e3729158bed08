"""Crystals of every lattice type drawn at random, the troubles of narrow wedges, and whether indexing was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from synthetic_spots import PIXEL, SIZE, SyntheticSweep, blank_experiment, make_sweep

from mxdask.geometry.predict_all import predict_all
from mxdask.index.known_symmetry import match_cell, primitive_rows
from mxdask.index.lattices import smallest_rotation
from mxdask.lattice.metric import lattice_group
from mxdask.models import Crystal
from mxdask.models.crystal import cell_parameters, hall_of, orthogonalisation_matrix

# One space group of every Bravais type.
SPACE_GROUPS = (
    "P 1", "P 1 21 1", "C 1 2 1", "P 21 21 21", "C 2 2 21", "F 2 2 2", "I 2 2 2", "P 41 21 2", "I 4 2 2",
    "P 31 2 1", "R 3 2:H", "P 2 3", "F 4 3 2", "I 2 3",
)  # fmt: skip
_CENTRING = {"P": 1, "C": 2, "I": 2, "F": 4, "R": 3}
LARGEST_ANGLE, LARGEST_STRAIN = 0.3, 0.01


@dataclass(frozen=True)
class Condition:
    """What is difficult about a wedge.

    Attributes
    ----------
    sweep : arguments of :func:`synthetic_spots.make_sweep`. spots : fewest and most spots of the (first) lattice.
    axes : Å, shortest and longest axis of the primitive cell, about.
    """

    name: str
    sweep: dict[str, Any] = field(default_factory=dict)
    spots: tuple[int, int] = (60, 200)
    axes: tuple[float, float] = (40.0, 120.0)
    words: tuple[str, ...] = ()


CONDITIONS = (
    Condition("plain"),
    Condition("few spots", spots=(30, 60)),
    Condition("many foreign", {"foreign": 0.4}),
    Condition("noisy", {"noise_px": 0.5, "noise_images": 0.5}),
    Condition("beam centre", {"beam_error_px": 3.0}),
    Condition("distance", {"distance_error": 0.01}),
    Condition("detector turned", {"tilt_mrad": 2.0, "distance_error": 0.002, "beam_error_px": 1.0}),
    Condition("axis inverted", {"axis_is_inverted": True}, spots=(100, 200)),
    Condition("ice", {"ice": 0.3}),
    Condition("drift", {"drift": 0.04}),
    Condition("two lattices", {"n_lattices": 2, "strength_of_others": 0.6}, (100, 300), words=("max_lattices=2",)),
    Condition("large cell", {"distance": 300.0}, axes=(120.0, 300.0)),
    Condition("small molecule", {"distance": 60.0, "wavelength": 0.62}, axes=(6.0, 25.0)),
)


def random_cell(rng: np.random.Generator, symbol: str, shortest: float, longest: float) -> tuple[float, ...]:
    """A cell of the system of a space group; the axes are those of a primitive cell of its volume, about."""
    scale = _CENTRING[symbol[0]] ** (1 / 3)
    a, b, c = scale * np.exp(rng.uniform(np.log(shortest), np.log(longest), 3))
    # No axis more than three times another: less is seen of such cells in a narrow wedge than can be asked for.
    a, b, c = np.maximum([a, b, c], max(a, b, c) / 3.0)
    system = symbol.split()[1:]
    if symbol == "P 1":
        return (a, b, c, *rng.uniform(70.0, 110.0, 3))
    if symbol in ("P 1 21 1", "C 1 2 1"):
        return (a, b, c, 90.0, float(rng.uniform(92.0, 115.0)), 90.0)
    if system[0].startswith("4") and len(system) == 3 and system[1] != "3":
        return (a, a, c, 90.0, 90.0, 90.0)
    if symbol in ("P 31 2 1", "R 3 2:H"):
        return (a, a, c, 90.0, 90.0, 120.0)
    if symbol in ("P 2 3", "F 4 3 2", "I 2 3"):
        return (a, a, a, 90.0, 90.0, 90.0)
    return (a, b, c, 90.0, 90.0, 90.0)


def random_sweep(condition: Condition, number: int, seed: int = 0) -> tuple[SyntheticSweep, tuple[float, ...], str]:
    """A sweep under a condition, the crystal's cell and space group; everything follows from the numbers."""
    rng = np.random.default_rng([seed, number, *condition.name.encode()])
    symbol = SPACE_GROUPS[number % len(SPACE_GROUPS)]
    cell = random_cell(rng, symbol, *condition.axes)
    options = dict(condition.sweep)
    if "beam_error_px" in options:
        options["beam_error_px"] *= float(rng.uniform(1 / 3, 1.0))
    n_spots = int(rng.integers(*condition.spots, endpoint=True))
    d_min = _resolution(cell, symbol, 1.5 * n_spots, options)
    sweep = make_sweep(
        int(rng.integers(1 << 30)), (cell, symbol), name=f"{condition.name}_{number}", n_spots=n_spots, d_min=d_min,
        **options,
    )  # fmt: skip
    return sweep, cell, symbol


def _resolution(cell: Sequence[float], symbol: str, wanted: float, options: dict[str, Any]) -> float:
    """Å at which about ``wanted`` reflections of the wedge are on the detector, not below what its edge allows."""
    import gemmi

    known = {k: options[k] for k in ("distance", "wavelength") if k in options}
    experiment = blank_experiment("count", wedge=5.0, **known)
    group = gemmi.find_spacegroup_by_name(symbol)
    crystal = Crystal(orthogonalisation_matrix(cell).T, hall_of(group))
    edge = 0.5 * min(SIZE) * PIXEL
    theta = 0.5 * np.arctan2(edge, experiment.detector[0].distance)
    finest = experiment.beam.wavelength / (2.0 * np.sin(theta))
    # The volume of reciprocal space that a wedge sweeps grows with the third power of the resolution.
    predicted = predict_all(experiment.evolve(crystal=crystal), d_min=finest, padding=0.0)
    n = np.count_nonzero(~group.operations().systematic_absences(predicted.miller_index))
    return float(finest * max(1.0, (n / wanted) ** (1 / 3)))


def is_right(found: Crystal, truth: Crystal) -> bool:
    """Whether a lattice is the true one: cell within 1 %, orientation within 0.3° modulo the lattice's symmetry."""
    return misorientation(found, truth) < LARGEST_ANGLE


def misorientation(found: Crystal, truth: Crystal) -> float:
    """Degrees between two lattices modulo their symmetry; infinite if the cells differ by more than 1 %."""
    rows, goal = primitive_rows(found), primitive_rows(truth)
    P = match_cell(rows, goal, LARGEST_STRAIN, 1.0)
    if P is None:
        return float("inf")
    return smallest_rotation(P @ rows, goal, lattice_group(cell_parameters(goal), 0.3))


def n_right(found: Sequence[Crystal], truth: Sequence[Crystal]) -> int:
    """How many of the true lattices were found."""
    return sum(any(is_right(f, t) for f in found) for t in truth)
