"""Reflections without images."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.geometry.mapping import map_centroids
from mxdask.io.expt import write_expt
from mxdask.io.refl import write_refl
from mxdask.simulate.crystals import true_crystal
from mxdask.simulate.instrument import build
from mxdask.simulate.params import Crystals, DetectorKind, quick
from mxdask.simulate.spots import integrated, primitive_basis, strong_spots
from mxdask.simulate.structure import full_sphere, indexing_settings, packed, true_intensities
from mxdask.table import Flag

SIM = quick().model_copy(update={"detector": DetectorKind(size="512", distance=40.0, geometry_error=0.0)})


def test_strong_spots_index_with_the_true_crystal():
    experiments, table = strong_spots(SIM, spurious=0.1)
    assert len(experiments) == 2
    assert experiments[0].detector is experiments[1].detector
    rows = table.split_by("id")
    for i, experiment in enumerate(experiments):
        mapped = map_centroids(experiment, rows[i])
        hkl = mapped["rlp"] @ np.linalg.inv(true_crystal(SIM, i).A_lattice).T
        close = np.all(np.abs(hkl - np.rint(hkl)) < 0.25, axis=1)
        assert 0.85 < close.mean() < 0.95  # a tenth is spurious
    assert np.all(table.has_flags(Flag.STRONG))


def test_dials_reads_the_tables(tmp_path, dials):
    experiments, table = strong_spots(SIM)
    write_expt(tmp_path / "imported.expt", experiments)
    write_refl(tmp_path / "strong.refl", table)
    assert "xyzobs.px.value" in dials("show", "imported.expt", "strong.refl", cwd=tmp_path)


@pytest.mark.parametrize("known_symmetry", [True, False])
def test_integrated_intensities_are_the_truth_up_to_noise(known_symmetry):
    experiments, table = integrated(SIM, known_symmetry=known_symmetry)
    settings = indexing_settings(SIM.structure.space_group, SIM.structure.cell)
    d_min = build(SIM).d_min
    sphere, true = full_sphere(SIM.structure, d_min), true_intensities(SIM.structure, SIM.seed, 0, d_min)
    keys = packed(sphere.hkl)
    for i, part in table.split_by("id").items():
        crystal = true_crystal(SIM, i)
        basis = np.eye(3) if known_symmetry else primitive_basis("I")
        back = np.linalg.inv(basis @ np.array(settings[crystal.setting]))
        unique = sphere.unique[np.searchsorted(keys, packed(np.rint(part["miller_index"] @ back.T).astype(int)))]
        expected = true.I[unique] * np.exp(-crystal.b_extra / (2 * part["d"] ** 2))
        fitted = part.has_flags(Flag.INTEGRATED_PRF)
        measured = part["intensity.prf.value"] * part["lp"] / part["qe"]
        assert np.corrcoef(measured[fitted], expected[fitted])[0, 1] > 0.99
        # Indices, crystal and s1 belong together.
        experiment = experiments[i]
        q = np.linalg.norm(part["miller_index"] @ experiment.crystal.A.T, axis=1)
        assert 1 / q == pytest.approx(part["d"], rel=1e-3)


def test_a_crystal_is_itself_in_any_company():
    _, all_of_them = integrated(SIM)
    _, one = integrated(SIM, indices=[1])
    second = all_of_them.split_by("id")[1]
    assert np.array_equal(second["intensity.prf.value"], one["intensity.prf.value"])
    assert np.array_equal(second["miller_index"], one["miller_index"])


@pytest.mark.parametrize(
    ("centring", "allowed"), [("I", (1, 1, 2)), ("F", (1, 1, 1)), ("C", (1, 1, 5)), ("R", (1, 0, 1))]
)
def test_primitive_basis_gives_integers(centring, allowed):
    P = primitive_basis(centring)
    h = P @ allowed
    assert h == pytest.approx(np.rint(h))
    assert np.linalg.det(P) == pytest.approx({"I": 0.5, "F": 0.25, "C": 0.5, "R": 1 / 3}[centring])


def test_species_take_turns():
    sim = SIM.model_copy(
        update={"structure": SIM.structure.model_copy(update={"species": 2}), "crystals": Crystals(count=4)}
    )
    assert [true_crystal(sim, i).species for i in range(4)] == [0, 1, 0, 1]
