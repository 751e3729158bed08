"""Which settings are recommended, and rows over many crystals."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.bravais.correlation import Correlation
from mxdask.bravais.summary import Row, pooled, recommended, summary_json
from mxdask.lattice.metric import metric_subgroups

_CUBE = np.array([60.0, 60, 60, 90, 90, 90])


def _row(fit: float, rmsd: float, cc: float | None, *, n: int = 100, spots: int = 100) -> Row:
    own = () if cc is None else (Correlation(1.0, 500), Correlation(cc, n))
    return Row(1, fit, rmsd, spots, own, "oP", _CUBE, "a,b,c")


@pytest.mark.parametrize(
    ("fit", "rmsd", "cc", "good"),
    [
        (0.1, 1.4, 0.1, True),
        (0.1, 1.6, 0.4, False),
        (0.1, 1.6, 0.6, True),
        (2.0, 1.9, None, True),
        (2.0, 2.1, 0.6, False),
        (2.0, 2.9, 0.8, True),
        (2.0, 3.1, 0.9, False),
        (0.1, float("nan"), 0.9, False),
    ],
)
def test_recommendation(fit: float, rmsd: float, cc: float | None, good: bool) -> None:
    assert recommended([_row(fit, rmsd, cc), _row(0.0, 1.0, None)]) == [good, True]


def test_operators_with_few_pairs_do_not_tell() -> None:
    assert _row(0, 1, 0.3, n=10).min_max_cc is None
    assert _row(0, 1, 0.3, n=11).min_max_cc == (0.3, 0.3)


def test_pooled_row_weights_by_reflections_and_pairs() -> None:
    setting = metric_subgroups(_CUBE)[-1]
    row = pooled([_row(0, 1.0, 0.9, n=300, spots=100), _row(0, 2.0, 0.5, n=100, spots=300)], setting)
    assert row.rmsd == pytest.approx(np.sqrt((100 * 1 + 300 * 4) / 400))
    assert row.correlations[1].cc == pytest.approx(0.8)
    assert row.n_spots == 400


def test_volume() -> None:
    assert _row(0, 1, None).volume == pytest.approx(216000)


def test_summary_has_the_keys_of_dials() -> None:
    content = summary_json([_row(0.1, 1.0, 0.9)])["1"]
    assert set(content) == {
        "max_angular_difference", "rmsd", "nspots", "bravais", "unit_cell", "cb_op", "max_cc", "min_cc",
        "correlation_coefficients", "cc_nrefs", "recommended",
    }  # fmt: skip
