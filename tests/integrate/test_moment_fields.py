"""Centres and widths of spots over the detector."""

from __future__ import annotations

import numpy as np

from mxdask.integrate.moment_fields import Centres, MomentFields, constant_fields, field_terms, fit_fields
from mxdask.models import Beam, Experiment, Goniometer

WIDTH = 7e-4
PRIOR = constant_fields(WIDTH**2)
NO_CENTRES = Centres(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 6)))


def places(n: int, rng: np.random.Generator, reach: float = 0.3) -> np.ndarray:
    a, b = rng.uniform(-reach, reach, (2, n))
    return np.column_stack([np.ones(n), a * a + b * b, a, b, a * a - b * b, a * b])


def in_frame(terms: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Displacements (n, 2) along the axis and across it as components along ε1 = (b, −a)/ρ and ε2 = (a, b)/ρ."""
    rho, a, b = np.sqrt(terms[:, 1]), terms[:, 2], terms[:, 3]
    return np.column_stack([shift[:, 0] * b - shift[:, 1] * a, shift[:, 0] * a + shift[:, 1] * b]) / rho[:, None]


def moments_at(centre: np.ndarray, variance: np.ndarray, rng: np.random.Generator, counts: float) -> np.ndarray:
    n = len(centre)
    u, v = (centre + rng.normal(0, WIDTH / np.sqrt(counts), (n, 2))).T
    uu, vv = (variance * rng.normal(1, np.sqrt(2 / counts), (n, 2))).T
    return np.column_stack([np.full(n, counts), u, v, uu + u * u, np.zeros(n), vv + v * v])


def test_a_reflection_has_the_same_fields_whatever_else_is_in_its_block() -> None:
    rng = np.random.default_rng(4)
    experiment = Experiment("x", beam=Beam([0.1, 0.2, 1.0], 1.0), goniometer=Goniometer.single_axis([1, 0.3, 0]))
    s1 = rng.normal(0, 0.3, (500, 3)) + [0, 0, 1]
    width = WIDTH**2 * rng.uniform(0.5, 2.0, (6, 2))
    fields = MomentFields(rng.normal(0, WIDTH, 10), width, np.array([[-1.0, -1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))
    terms = field_terms(experiment, s1)
    whole = np.column_stack([terms, *fields.at(terms)])
    for n in (1, 2, 3, 7):
        for first in range(0, 500 - n, n):
            some = field_terms(experiment, s1[first : first + n])
            assert np.array_equal(np.column_stack([some, *fields.at(some)]), whole[first : first + n])


def test_widths_follow_the_detector_and_outliers_are_left_out() -> None:
    rng = np.random.default_rng(5)
    terms = places(400, rng)
    variance = WIDTH**2 * np.column_stack([1 + 3 * terms[:, 1], np.ones(400)])
    moments = moments_at(np.zeros((400, 2)), variance, rng, 5000.0)
    moments[:5, 3] *= 9
    fields, good = fit_fields(moments, np.full(400, 5000.0), terms, PRIOR, NO_CENTRES)
    assert not good[:5].any() and good.sum() > 0.95 * 400
    _, width = fields.at(terms[5:])
    assert np.median(np.abs(width**2 / variance[5:] - 1)) < 0.01


def test_centres_follow_what_wrong_models_do_to_predictions() -> None:
    rng = np.random.default_rng(6)
    terms = places(300, rng)
    xy = terms[:, 2:4]
    shift = WIDTH * (np.array([0.4, -0.2]) + xy @ np.array([[2.0, 0.5], [-0.3, 1.0]]) + 5.0 * terms[:, 1:2] * xy)
    centre = in_frame(terms, shift)
    fields, _ = fit_fields(
        moments_at(centre, np.full((300, 2), WIDTH**2), rng, 1000.0), np.full(300, 1000.0), terms, PRIOR, NO_CENTRES
    )
    found, _ = fields.at(terms)
    assert np.sqrt(np.mean((found - centre) ** 2)) < 0.03 * WIDTH


def test_a_stray_spot_at_the_rim_does_not_draw_the_centres_to_itself() -> None:
    rng = np.random.default_rng(7)
    terms = np.vstack([places(50, rng, reach=0.1), [[1.0, 0.18, 0.3, 0.3, 0.0, 0.09]]])
    moments = moments_at(np.zeros((51, 2)), np.full((51, 2), WIDTH**2), rng, 200.0)
    moments[-1, 1] = 3 * WIDTH
    fields, good = fit_fields(moments, np.full(51, 200.0), terms, PRIOR, NO_CENTRES)
    assert not good[-1] and good[:-1].sum() > 45
    centre, _ = fields.at(terms)
    assert np.abs(centre).max() < 0.3 * WIDTH


def test_weak_reflections_tell_where_strong_ones_do_not_reach() -> None:
    rng = np.random.default_rng(8)
    inner, outer = places(50, rng, reach=0.1), places(4000, rng)
    growth = [in_frame(t, 3.0 * WIDTH * t[:, 2:4]) for t in (inner, outer)]
    strong = moments_at(growth[0], np.full((50, 2), WIDTH**2), rng, 300.0)
    counts = 0.2  # each knows its centre to √5 widths
    weak = Centres(growth[1] + rng.normal(0, WIDTH / np.sqrt(counts), (4000, 2)), np.full(4000, counts), outer)
    errors = []
    for others in (weak, NO_CENTRES):
        fields, _ = fit_fields(strong, np.full(50, 300.0), inner, PRIOR, others)
        errors.append(np.sqrt(np.mean((fields.at(outer)[0] - growth[1]) ** 2)))
    assert errors[0] < 0.12 * WIDTH < 0.2 * WIDTH < errors[1]
