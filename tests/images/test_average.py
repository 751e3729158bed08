"""Sums over the images of a sweep."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.errors import ParameterError
from mxdask.flow import Flow
from mxdask.images.average import sum_images
from mxdask.importing.params import Params as ImportParams
from mxdask.importing.step import run as import_images
from tests.nxmx_writer import write_data, write_master

SHAPE = (20, 30)


@pytest.fixture
def experiment(tmp_path):
    frames = np.random.default_rng(1).poisson(3.0, (11, *SHAPE)).astype(np.uint16)
    frames[4, 2, 3] = 65535  # never trusted
    mask = np.zeros(SHAPE, np.uint32)
    mask[5, 6] = 1
    write_data(tmp_path / "a_1.h5", frames)
    master = write_master(tmp_path / "a.nxs", [("a_1.h5", 11)], SHAPE, "u2", mask=mask, saturation_value=60000)
    with Flow("sync") as flow:
        experiments, _ = import_images([master], ImportParams(), flow=flow)
    return experiments[0], frames


@pytest.mark.parametrize("block", [1, 4, 100])
def test_mean_sigma_maximum(experiment, block):
    sweep, frames = experiment
    with Flow("threads", n_workers=2) as flow:
        (sums,) = sum_images(sweep, flow=flow, block=block)
    values = np.where(frames == 65535, np.nan, frames.astype(float))
    values[:, 5, 6] = np.nan
    good = np.ones(SHAPE, bool)
    good[5, 6] = False
    np.testing.assert_allclose(sums.mean[good], np.nanmean(values[:, good], axis=0))
    np.testing.assert_allclose(sums.sigma[good], np.nanstd(values[:, good], axis=0, ddof=1))
    np.testing.assert_array_equal(sums.largest[good], np.nanmax(values[:, good], axis=0))
    assert np.isnan(sums.mean[5, 6])
    assert sums.count[2, 3] == 10


def test_range(experiment):
    sweep, frames = experiment
    with Flow("sync") as flow:
        (sums,) = sum_images(sweep, flow=flow, image_range=(3, 4))
        np.testing.assert_allclose(sums.mean[0, 0], frames[2:4, 0, 0].mean())
        with pytest.raises(ParameterError, match="no such images"):
            sum_images(sweep, flow=flow, image_range=(30, 40))
