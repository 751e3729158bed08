"""Correlations of mates against a plain search through a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdask.bravais.correlation import Correlation, operator_correlation, signals, signals_of
from mxdask.table import ReflectionTable

_FOURFOLD = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])


def _by_search(hkl: np.ndarray, value: np.ndarray, op: np.ndarray, offset: np.ndarray) -> tuple[float, int]:
    place = {tuple(h + offset): v for h, v in zip(hkl, value, strict=True)}
    pairs = [
        (v, place[tuple(op @ h)]) for h, v in ((np.array(k), v) for k, v in place.items()) if tuple(op @ h) in place
    ]
    x, y = np.array(pairs).reshape(-1, 2).T
    return (float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 else np.nan), len(x)


@given(st.integers(0, 1000), st.tuples(*[st.integers(-1, 1)] * 3))
def test_pairs_and_coefficient_are_those_of_a_search(seed: int, offset: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    hkl = np.unique(rng.integers(-4, 5, (200, 3)), axis=0)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    value = rng.normal(size=len(hkl))
    for op in (_FOURFOLD, -np.eye(3, dtype=int)):
        found = operator_correlation(signals(hkl, value), op, np.array(offset))
        cc, n = _by_search(hkl, value, op, np.array(offset))
        assert found.n == n
        assert found.cc == pytest.approx(cc, abs=1e-12)


def test_observations_of_one_index_are_averaged_and_unindexed_ones_left_out() -> None:
    data = signals(np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0]]), np.array([2.0, 100.0, 4.0]))
    assert len(data) == 1
    assert data.value[0] == 3.0


def test_signals_are_of_positive_variances_and_if_wanted_of_positive_intensities() -> None:
    table = ReflectionTable(
        {
            "miller_index": np.array([[1, 0, 0], [2, 0, 0], [3, 0, 0]], np.int32),
            "intensity.sum.value": np.array([6.0, -6.0, 6.0]),
            "intensity.sum.variance": np.array([4.0, 4.0, 0.0]),
        }
    )
    assert sorted(signals_of(table).value) == [-3.0, 3.0]
    assert signals_of(table, positive=True).value.tolist() == [3.0]


def test_standard_error_needs_three_pairs() -> None:
    assert np.isnan(Correlation(0.5, 2).standard_error)
    assert Correlation(0.6, 66).standard_error == pytest.approx(0.1)
