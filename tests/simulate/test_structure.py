"""True intensities: Wilson's statistics, symmetry, variants."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from mxdask.errors import ParameterError
from mxdask.simulate.params import Structure
from mxdask.simulate.structure import (
    expand,
    fall_off,
    full_sphere,
    indexing_settings,
    packed,
    space_group,
    true_intensities,
)

STRUCTURE = Structure()


def _normalised(structure: Structure, species: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E², whether centric, and hkl."""
    true = true_intensities(structure, 7, species, 1.6)
    operations = space_group(structure).operations()
    s = 1 / gemmi.UnitCell(*structure.cell).calculate_d_array(true.hkl)
    epsilon = operations.epsilon_factor_without_centering_array(true.hkl)
    return true.I / (epsilon * fall_off(s, structure.wilson_b)), operations.centric_flag_array(true.hkl), true.hkl


def test_moments_are_wilsons():
    z, centric, _ = _normalised(STRUCTURE, 0)
    assert np.mean(z[~centric]) == pytest.approx(1, abs=0.03)
    assert np.mean(z[~centric] ** 2) == pytest.approx(2, rel=0.06)
    assert np.mean(z[centric]) == pytest.approx(1, abs=0.15)
    assert np.mean(z[centric] ** 2) == pytest.approx(3, rel=0.3)


def test_no_absences_and_no_equivalents():
    _, _, hkl = _normalised(STRUCTURE, 0)
    assert np.all(hkl.sum(axis=1) % 2 == 0)
    asu, operations = gemmi.ReciprocalAsu(space_group(STRUCTURE)), space_group(STRUCTURE).operations()
    mapped = {tuple(asu.to_asu(h, operations)[0]) for h in hkl[:500].tolist()}
    assert len(mapped) == 500


def test_variants_correlate_as_asked():
    structure = Structure(species=3, species_cc=0.98)
    z = [_normalised(structure, k) for k in range(3)]
    acentric = ~z[0][1]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.corrcoef(z[a][0][acentric], z[b][0][acentric])[0, 1] == pytest.approx(0.98, abs=0.005)


def test_sphere_holds_every_equivalent_once():
    sphere = full_sphere(STRUCTURE, 4.0)
    keys = packed(sphere.hkl)
    assert np.all(np.diff(keys) > 0)
    # All even-sum indices inside the sphere except h00-type absences of 2₁ (which the centring covers here).
    n = 22
    h, k, l = np.indices((n, n, n)).reshape(3, -1) - n // 2
    hkl = np.column_stack([h, k, l])
    length2 = np.sum(hkl**2, axis=1)
    inside = (length2 > 0) & ((hkl.sum(axis=1) % 2) == 0) & (length2 <= (78 / 4.0) ** 2) & np.all(abs(hkl) < 11, axis=1)
    assert np.all(np.isin(packed(hkl[inside]), keys))


def test_equivalents_share_their_unique_reflection():
    sphere = expand(np.array([[1, 2, 3]]), gemmi.SpaceGroup("P 2 2 2"))
    assert len(sphere.hkl) == 8
    assert set(map(tuple, np.abs(sphere.hkl).tolist())) == {(1, 2, 3)}
    assert np.all(sphere.unique == 0)


@pytest.mark.parametrize(
    ("name", "cell", "n"),
    [
        ("I 21 3", (78, 78, 78, 90, 90, 90), 2),
        ("P 43 21 2", (78.2, 78.2, 37.1, 90, 90, 90), 1),
        ("P 6", (90, 90, 50, 90, 90, 120), 2),
        ("P 31", (90, 90, 50, 90, 90, 120), 4),
    ],
)
def test_indexing_settings_are_the_cosets_of_the_lattice(name, cell, n):
    settings = indexing_settings(name, cell)
    assert len(settings) == n
    assert all(round(np.linalg.det(np.array(P))) == 1 for P in settings)


def test_unknown_space_group_is_one_line():
    with pytest.raises(ParameterError, match="no such space group"):
        space_group(Structure(space_group="P 7"))
