"""σ_b and σ_m from simulated spots; who borrows from whom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from mxdask.flow import Failed
from mxdask.integrate.params import Params
from mxdask.integrate.profile_model import FrameCounts, ProfileModel, mosaicity
from mxdask.integrate.reference import match_reference, select_reference
from mxdask.integrate.widths import MANY_SPOTS, Widths, choose_lenders, choose_models, measure_widths
from mxdask.models import Beam, ExperimentList
from mxdask.params import parse
from mxdask.table import Flag


@given(st.floats(0.03, 0.4), st.floats(0.05, 0.5), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_mosaicity_is_found_from_counts_per_image(sigma: float, width: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, depth = 400, 41
    zeta, phi = rng.uniform(0.3, 1, n), np.deg2rad(rng.uniform(-0.5, 0.5, n) * width + 20 * width)
    edges = np.deg2rad(np.arange(depth + 1) * width)
    c = zeta[:, None] / (np.sqrt(2) * np.deg2rad(sigma))
    parts = 0.5 * np.diff(erf(c * (edges - phi[:, None])), axis=1)
    counts = rng.poisson(200 * parts).astype(float)
    frames = FrameCounts(np.arange(n + 1) * depth, np.tile(np.arange(depth), n), counts.ravel())
    assert np.rad2deg(mosaicity(zeta, phi, frames, 0.0, np.deg2rad(width))) == pytest.approx(sigma, rel=0.05)


def test_widths_from_the_moments_of_a_spot_table(sweep) -> None:
    found = measure_widths(sweep.experiment, sweep.spots, Params())
    assert found.enough and found.n_spots > 100
    assert np.rad2deg(found.model.sigma_m) == pytest.approx(0.1, rel=0.05)
    # the table's spread includes the pixel: 0.2 mm at 120 mm adds 1/12 px² to each direction
    assert np.rad2deg(found.model.sigma_b) == pytest.approx(0.0695, rel=0.1)


def test_widths_that_vary_along_the_scan(sweep) -> None:
    """Spots twice as wide in the second half: the widths follow, smoothed over some ten images."""
    spots = sweep.spots.copy()
    late = spots["xyzcal.px"][:, 2] > 15
    variance = spots["xyzobs.px.variance"].copy()
    variance[late, :2] = (variance[late, :2] - 1 / 12) * 4 + 1 / 12
    spots["xyzobs.px.variance"] = variance
    params = parse(Params, ["scan_varying=true"])
    model = measure_widths(sweep.experiment, spots, params).model
    assert model.along_scan.shape == (30, 2)
    assert model.along_scan[-1, 0] > 1.4 * model.along_scan[0, 0]
    assert np.all(np.diff(model.along_scan[:, 0]) >= 0)
    assert np.rad2deg(model.along_scan[:, 1]) == pytest.approx(0.1, rel=0.1)
    chosen = choose_models(ExperimentList([sweep.experiment]), [Widths(model, 500, "")], params)[0]
    assert np.allclose(ProfileModel.from_dict(chosen.to_dict()).along_scan, model.along_scan)


def test_matching_is_one_to_one_and_by_index(sweep) -> None:
    reference = match_reference(select_reference(sweep.spots), sweep.predictions)
    assert len(reference) == len(sweep.spots)
    assert np.array_equal(reference.spots["miller_index"], sweep.predictions.miller_index[reference.predicted])
    bad = sweep.spots.copy()
    bad.set_flags(np.arange(10), Flag.CENTROID_OUTLIER)
    assert len(select_reference(bad)) == len(bad) - 10


def test_few_spots_borrow_the_median_of_crystals_alike(sweep) -> None:
    models = [ProfileModel(b * 1e-3, m * 1e-3) for b, m in ((1, 2), (3, 4), (2, 9))]
    widths = [Widths(m, 500, "", n_whole=200) for m in models] + [Widths(None, 2, "2 are too few")]
    experiments = ExperimentList([sweep.experiment.evolve(identifier=str(i)) for i in range(4)])
    chosen = choose_models(experiments, widths, Params())
    assert chosen[:3] == models
    assert chosen[3] == ProfileModel(2e-3, 4e-3)
    assert choose_lenders(experiments, widths) == [[], [], [], [0, 1, 2]]
    alone = choose_models(ExperimentList([experiments[3]]), [widths[3]], Params())
    assert isinstance(alone[0], Failed)
    given_widths = choose_models(
        ExperimentList([experiments[3]]), [widths[3]], parse(Params, ["sigma_b=0.1", "sigma_m=0.2"])
    )
    assert np.allclose(np.rad2deg([given_widths[0].sigma_b, given_widths[0].sigma_m]), [0.1, 0.2])


def test_narrow_wedges(sweep, caplog: pytest.LogCaptureFixture) -> None:
    """Spots that the wedge cuts are in its list, cut: two images tell their widths, one does not."""
    caplog.set_level("INFO")
    scan, spots = sweep.experiment.scan, sweep.spots
    experiments, widths = [], []
    for n_images in (1, 2, 20):
        experiment = sweep.experiment.evolve(identifier=f"{n_images}", scan=scan.cut(9, 8 + n_images))
        z = spots["bbox"][:, 4:]
        part = spots.select((z[:, 0] < 8 + n_images) & (z[:, 1] > 8))
        experiments.append(experiment)
        widths.append(measure_widths(experiment, part, Params()))
        assert widths[-1].n_spots > 50
    assert [w.enough for w in widths] == [False, True, True]
    assert widths[0].n_whole < 20 < MANY_SPOTS < widths[2].n_whole
    assert choose_lenders(ExperimentList(experiments), widths) == [[2], [2], []]
    chosen = choose_models(ExperimentList(experiments), widths, Params())
    assert chosen[0].sigma_m == np.median([m.sigma_m for m in chosen[1:]])
    assert "a single image is too little for widths of its own" in caplog.text
    assert "median of 2 crystals at the same settings" in caplog.text
    assert choose_models(ExperimentList(experiments[:1]), widths[:1], Params())[0].sigma_m > 0
    other = experiments[0].evolve(beam=Beam([0, 0, 1], 1.1 * experiments[0].beam.wavelength))
    choose_models(ExperimentList([other, *experiments[1:]]), widths, Params())
    assert "from its own spots all the same" in caplog.text
    choose_models(ExperimentList([other, *experiments[1:]]), [Widths(None, 0, "no spots"), *widths[1:]], Params())
    assert "median of 2 crystals at other settings" in caplog.text


def test_a_crystal_without_spots_among_crystals_with_few(sweep) -> None:
    experiments = ExperimentList([sweep.experiment.evolve(identifier=str(i)) for i in range(3)])
    few = [Widths(ProfileModel(b, 2e-3), 15, "15 reference spots are too few") for b in (1e-3, 3e-3)]
    chosen = choose_models(experiments, [*few, Widths(None, 0, "no reference spots")], Params())
    assert [model.sigma_b for model in chosen] == pytest.approx([1e-3, 3e-3, 2e-3])


def test_who_lends_a_profile_has_seen_whole_spots(sweep, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    model = ProfileModel(1e-3, 2e-3)
    widths = [Widths(model, 500, "", n_whole=n) for n in (20, 200)]
    experiments = ExperimentList([sweep.experiment.evolve(identifier=str(i)) for i in range(2)])
    assert choose_lenders(experiments, widths) == [[1], []]
    assert "its reference profile starts from those of" in caplog.text
