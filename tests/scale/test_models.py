"""Which model a sweep gets, and how it is written."""

from __future__ import annotations

import numpy as np
import pytest
from scaled_sweeps import sweep

from mxdask.params import parse
from mxdask.scale.absorption import crystal_frame_directions, harmonics, n_terms
from mxdask.scale.models import choose_model
from mxdask.scale.params import Params


@pytest.mark.parametrize(
    ("n_images", "kind", "sizes"),
    [(8, "KB", (1, 1, 0)), (50, "physical", (5, 3, 0)), (49, "physical", (7, 6, 0)), (1800, "physical", (14, 11, 24))],
)
def test_model_by_width(n_images, kind, sizes):
    model = choose_model(sweep("x", n_images), Params())
    assert (model.kind, model.sizes) == (kind, sizes)


def test_words_choose_too():
    params = parse(Params, ["model=physical", "absorption_level=high", "decay_correction=false"][:2])
    model = choose_model(sweep("x", 50), params)
    assert (model.lmax, model.surface_weight) == (6, 5e3)
    assert choose_model(sweep("x", 900), parse(Params, ["model=KB"])).kind == "KB"


def test_dictionary_has_dials_keys():
    experiment = sweep("x", 1800)
    model = choose_model(experiment, Params())
    out = model.to_dict(experiment, model.start(), np.zeros(model.n_parameters), {"Imid": 0.0})
    assert out["__id__"] == "physical"
    assert out["configuration_parameters"]["corrections"] == ["scale", "decay", "absorption"]
    assert {"s_norm_fac", "d_norm_fac", "lmax", "valid_osc_range", "valid_image_range"} <= set(
        out["configuration_parameters"]
    )
    assert [out[k]["n_parameters"] for k in ("scale", "decay", "absorption")] == [14, 11, 24]


def test_harmonics_are_orthonormal_on_the_sphere():
    node, weight = np.polynomial.legendre.leggauss(12)
    phi = np.arange(24) * 2 * np.pi / 24
    z, p = np.meshgrid(node, phi, indexing="ij")
    rho = np.sqrt(1 - z**2)
    directions = np.stack([rho * np.cos(p), rho * np.sin(p), z], axis=-1).reshape(-1, 3)
    values = harmonics(directions, directions, 4)
    weights = np.repeat(weight, 24) * 2 * np.pi / 24
    assert values.shape[1] == n_terms(4)
    np.testing.assert_allclose(values.T @ (weights[:, None] * values), np.eye(24), atol=1e-12)


def test_directions_turn_with_the_crystal():
    experiment = sweep("x", 900)
    s1 = np.tile([0.3, 0.4, -0.8], (2, 1))
    incident, diffracted = crystal_frame_directions(experiment, np.array([0.0, 900.0]), s1)
    np.testing.assert_allclose(np.linalg.norm(diffracted, axis=1), 1.0)
    # The angle with the rotation axis (z of this frame) stays, the azimuth goes by the rotation.
    np.testing.assert_allclose(diffracted[:, 2], 0.3 / np.linalg.norm(s1[0]))
    azimuth = np.arctan2(incident[:, 1], incident[:, 0])
    assert abs(np.rad2deg(azimuth[1] - azimuth[0])) % 360 == pytest.approx(90.0)
