"""Planes, levels per image and outliers of the background against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.integrate import background_shapes_kernels as shapes
from mxdask.integrate.background_recipe import recipe_of
from mxdask.integrate.box_background_kernels import TERMS, background_under, spot_weights
from mxdask.integrate.params import Params
from mxdask.params import parse

NX, NY, DEPTH = 14, 12, 5


def box(rng: np.random.Generator, level):
    z, y, x = np.mgrid[:DEPTH, :NY, :NX]
    expected = level((2 * x + 1) / NX - 1, (2 * y + 1) / NY - 1, (2 * z + 1) / DEPTH - 1)
    inside = ((x[0] - 6.5) ** 2 + (y[0] - 5.5) ** 2 < 9).astype(np.uint8)
    return rng.poisson(expected).astype(np.int32), expected, inside


def fitted(values: np.ndarray, inside: np.ndarray, *words: str) -> tuple[float, float, float, int]:
    recipe, limits = recipe_of(parse(Params, words).background)
    n = values.size
    weights, out = np.zeros(inside.size), np.zeros(3)
    spot_weights(inside.ravel(), NX, weights)
    used = background_under(
        values.ravel(), inside.ravel(), NX, DEPTH, np.zeros(n), weights, recipe, limits, recipe[TERMS], 1.0,
        np.empty(n), np.empty(n), np.empty((n, shapes.MOST_TERMS)), np.empty(n, np.uint8), out,
    )  # fmt: skip
    return (*out, used)


@pytest.mark.parametrize("model", ["linear2d", "linear3d", "constant2d", "constant3d"])
def test_least_squares_equals_numpy(model: str) -> None:
    values, _, inside = box(np.random.default_rng(1), lambda x, y, z: 20 + 5 * x - 3 * y + 4 * z)
    z, y, x = (np.asarray(a, float) for a in np.mgrid[:DEPTH, :NY, :NX])
    fg = inside.astype(bool)

    def design(a: np.ndarray) -> np.ndarray:
        one = np.ones_like(a)
        return {"constant": [one], "linear2d": [one, x, y], "linear3d": [one, x, y, z]}[
            "constant" if model.startswith("constant") else model
        ]

    columns = np.stack([np.asarray(c) for c in design(x)], axis=-1)
    parts = [slice(j, j + 1) for j in range(DEPTH)] if model.endswith("2d") else [slice(0, DEPTH)]
    levels = []
    for part in parts:
        beta = np.linalg.lstsq(columns[part][:, ~fg].reshape(-1, columns.shape[-1]), values[part][:, ~fg].ravel())[0]
        levels.append((columns[part][:, fg] @ beta).mean())
    found = fitted(
        values, inside, "background.algorithm=simple", "outlier.algorithm=null", f"simple.model.algorithm={model}"
    )
    assert found[0] == pytest.approx(np.mean(levels), rel=1e-9)
    assert found[3] == (~fg).sum() * DEPTH


@pytest.mark.parametrize("model", ["loglinear2d", "loglinear3d"])
def test_robust_planes_follow_a_slope_and_ignore_outliers(model: str) -> None:
    values, expected, inside = box(np.random.default_rng(2), lambda x, y, z: np.exp(1.5 + 0.6 * x - 0.3 * y + 0.2 * z))
    clean = fitted(values, inside, f"glm.robust.algorithm={model}")
    truth = expected[:, inside.astype(bool)].mean()
    assert clean[0] == pytest.approx(truth, rel=0.06)
    values[:, 0, 0] = 5000
    assert fitted(values, inside, f"glm.robust.algorithm={model}")[0] == pytest.approx(clean[0], rel=0.02)


def test_the_robust_surface_with_one_term_is_the_robust_mean() -> None:
    from mxdask.integrate.background_kernels import robust_poisson_mean

    y = np.random.default_rng(3).poisson(2.0, 300).astype(float)
    level, weight = np.unique(y, return_counts=True)
    mean, _ = robust_poisson_mean(level, weight.astype(float), len(level), 2.0)
    beta = np.zeros(shapes.MOST_TERMS)
    assert shapes.robust_poisson_surface(y, np.ones(300), np.ones((300, 5)), 300, 1, beta)
    assert np.exp(beta[0]) == pytest.approx(mean, rel=1e-3)


def test_outliers() -> None:
    y = np.random.default_rng(4).normal(50, 5, 400)
    y[[5, 60]] = 200.0, 0.0
    design = np.ones((400, 5))
    design[:, 1], design[:, 2] = np.linspace(-1, 1, 400), np.tile([-1.0, 1.0], 200)

    def kept(method: int, lower: float, upper: float) -> np.ndarray:
        keep = np.empty(400, np.uint8)
        shapes.reject_outliers(y, design, 400, method, lower, upper, keep)
        return keep.astype(bool)

    assert kept(shapes.NONE, 0, 0).all()
    assert np.array_equal(kept(shapes.NSIGMA, 3, 3), np.abs(y - y.mean()) <= 3 * y.std(ddof=1))
    assert kept(shapes.TRUNCATED, 0.01, 0.02).sum() == 400 - 4 - 8
    q1, q3 = np.percentile(y, [25, 75])
    assert np.array_equal(kept(shapes.TUKEY, 1.5, 1.5), (y >= q1 - 1.5 * (q3 - q1)) & (y <= q3 + 1.5 * (q3 - q1)))
    assert not kept(shapes.PLANE, 0, 4)[[5, 60]].any() and kept(shapes.PLANE, 0, 4).sum() > 390
    normal = kept(shapes.NORMAL, 0, 0)
    assert not normal[5] and normal.sum() > 380
