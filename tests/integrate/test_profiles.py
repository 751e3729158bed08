"""Reference profiles: the learnt surface, and fits with it."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.integrate.fit import part_inside
from mxdask.integrate.fit_kernels import fit_profiles
from mxdask.integrate.foreground import ForegroundPixels, starts
from mxdask.integrate.moment_fields import Centres
from mxdask.integrate.profile_kernels import cubic_weights, rocking_fractions, spot_moments, surface_value
from mxdask.integrate.profiles import (
    REACH,
    STEP,
    ReferenceProfile,
    borrowed_profile,
    gaussian_profile,
    learn_profile,
)

SIGMA_B = 1e-3
NO_CENTRES = Centres(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 6)))
ONE = SIGMA_B / np.sqrt(2)
PIXEL = 0.8 * ONE
DEPTH = 3
# σ_m (in images) for which the middle one of three images holds half of the reflection, and what the others hold
SIGMA_M = 0.5 / 0.67448975
ROCKING = np.array([0.2284929, 0.5, 0.2284929])


def spots(n: int, intensity: np.ndarray, background: float, seed: int, shift: float = 0.0, stretch: float = 1.0):
    """Simulated foregrounds: Gaussians at random sub-pixel positions, shifted and stretched along ε1."""
    rng = np.random.default_rng(seed)
    line = (np.arange(9) - 4) * PIXEL
    gx, gy = np.meshgrid(line, line)
    uv, counts = [], []
    fine = (np.arange(5) - 2) / 5 * PIXEL
    for i in range(n):
        dx, dy = rng.uniform(-0.5, 0.5, 2) * PIXEL
        u, v = (gx + dx).ravel(), (gy + dy).ravel()
        p = np.zeros(len(u))
        for a in fine:
            for b in fine:
                p += np.exp(-0.5 * (((u + a - shift) / (ONE * stretch)) ** 2 + ((v + b) / ONE) ** 2))
        p *= (PIXEL / 5) ** 2 / (2 * np.pi * ONE**2 * stretch)
        counts.append(rng.poisson(background + intensity[i] * ROCKING[:, None] * p).ravel())
        uv.append(np.column_stack([u, v]))
    size = np.full(n, 81)
    return ForegroundPixels(
        starts(size),
        np.concatenate(uv).astype(np.float32),
        starts(size * DEPTH),
        np.concatenate(counts).astype(np.int32),
    )


def one_place(n: int) -> np.ndarray:
    """Terms of n reflections at the same place, where ε1 runs along the rotation axis."""
    return np.tile([1.0, 0.04, 0.0, 0.2, -0.04, 0.0], (n, 1))


def learn(
    pixels: ForegroundPixels, intensity: np.ndarray, background: float, prior: ReferenceProfile
) -> ReferenceProfile:
    n = len(intensity)
    return learn_profile(
        pixels, np.full(n, background), intensity, one_place(n), np.full(n, PIXEL**2), prior, NO_CENTRES
    )


def fit(pixels: ForegroundPixels, background: float, profile: ReferenceProfile) -> np.ndarray:
    n = len(pixels.pixel_start) - 1
    centre, width = profile.fields.at(one_place(n))
    out = np.zeros((n, 4))
    zeros = np.zeros(n)
    fit_profiles(
        pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, np.full(n, -1), np.full(n, 2), zeros + 0.5,
        zeros + 1.0, 0.0, 1.0, zeros + SIGMA_M, zeros + background, zeros + 1000.0, centre, width,
        profile.coefficients, REACH,
        STEP, 0.5, 6.0, np.ones(n, bool), out,
    )  # fmt: skip
    return out


def test_splines_are_a_partition_of_unity_and_the_gaussian_has_integral_one() -> None:
    w = np.empty(4)
    for t in (0.0, 0.3, 0.99):
        cubic_weights(t, w)
        assert w.sum() == pytest.approx(1.0)
    profile = gaussian_profile(SIGMA_B)
    x = np.linspace(-5, 5, 101)
    values = np.array([[surface_value(profile.coefficients, REACH, STEP, a, b, w, w.copy()) for a in x] for b in x])
    assert np.abs(values - np.exp(-0.5 * (x[:, None] ** 2 + x**2)) / (2 * np.pi)).max() < 2e-3
    assert values.sum() * 0.01 == pytest.approx(1.0, abs=2e-3)


def test_rocking_fractions_add_up() -> None:
    out = np.empty(40)
    rocking_fractions(0.0, 0.1, -20, 20, 0.013, -0.7, 0.05, out)
    assert out.sum() == pytest.approx(1.0, abs=1e-9)


def test_moments_are_those_of_the_counts() -> None:
    pixels = spots(3, np.full(3, 5e5), 0.5, 0)
    moments = np.empty((3, 6))
    spot_moments(pixels.pixel_start, pixels.uv, pixels.count_start, pixels.counts, np.full(3, 0.5), moments)
    assert moments[:, 0] == pytest.approx(5e5 * ROCKING.sum(), rel=0.01)
    assert moments[:, 3] == pytest.approx(ONE**2 + PIXEL**2 / 12, rel=0.03)


@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.0), (0.3 * ONE, 1.3)])
def test_learnt_profiles_give_right_intensities_and_errors(shift: float, stretch: float) -> None:
    taught = learn(
        spots(300, np.full(300, 3000.0), 0.5, 1, shift, stretch),
        np.full(300, 3000.0 * ROCKING.sum()),
        0.5,
        gaussian_profile(SIGMA_B),
    )
    for true in (20.0, 200.0, 20000.0):
        result = fit(spots(400, np.full(400, true), 0.5, 2, shift, stretch), 0.5, taught)
        pull = (result[:, 0] - true) / np.sqrt(result[:, 1])
        assert result[:, 0].mean() == pytest.approx(true, rel=0.01 + 1.0 / true)
        assert 0.85 < pull.std() < 1.15
        assert np.allclose(result[:, 3], ROCKING.sum(), atol=1e-3)


def test_few_reflections_lean_on_what_others_lend() -> None:
    lender = learn(
        spots(300, np.full(300, 3000.0), 0.5, 1, 0.0, 1.3),
        np.full(300, 3000.0 * ROCKING.sum()),
        0.5,
        gaussian_profile(SIGMA_B),
    )
    borrowed = borrowed_profile([lender], SIGMA_B)
    assert np.array_equal(borrowed.coefficients, lender.coefficients)
    alone = gaussian_profile(SIGMA_B)
    weak = spots(400, np.full(400, 100.0), 0.5, 3, 0.0, 1.3)
    errors = [abs(fit(weak, 0.5, p)[:, 0].mean() / 100 - 1) for p in (borrowed, alone)]
    assert errors[0] < 0.02 < errors[1]
    assert borrowed_profile([alone], SIGMA_B).n_references == 0


def test_pixels_that_are_not_usable_do_not_bias() -> None:
    true = 5000.0
    pixels = spots(200, np.full(200, true), 0.5, 4)
    pixels.counts[::7] = -1
    taught = learn(
        spots(300, np.full(300, 3000.0), 0.5, 1), np.full(300, 3000.0 * ROCKING.sum()), 0.5, gaussian_profile(SIGMA_B)
    )
    result = fit(pixels, 0.5, taught)
    assert result[:, 0].mean() == pytest.approx(true, rel=0.01)
    assert np.all(result[:, 3] < 0.95)


def test_the_part_of_a_spot_inside_its_foreground_is_that_of_many_draws() -> None:
    draws = np.random.default_rng(8).normal(size=(200_000, 2))
    centre = np.array([[0.0, 0.0], [0.1, 0.2], [1.0, -1.0], [0.0, 2.5]])
    found = part_inside(centre * ONE, np.full((4, 2), ONE), np.full(4, 3.5 * ONE))
    inside = [np.mean(np.hypot(*(draws + c).T) < 3.5) for c in centre]
    assert found == pytest.approx(np.array(inside) / inside[0], abs=4e-3)
    assert found[0] == 1.0 and found[3] < 0.9
