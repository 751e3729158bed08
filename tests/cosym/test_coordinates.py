"""Coordinates of few crystals whose correlations are partly wrong stay those of crystals."""

from __future__ import annotations

import numpy as np

from mxdask.cosym.coordinates import find_coordinates, pair_weights
from mxdask.cosym.pairs import PairMatrix
from mxdask.cosym.settings_group import SettingsGroup

_TWOFOLD = np.array([np.eye(3), np.diag([-1, -1, 1])]).astype(int)


def test_wrong_correlations_do_not_make_vectors_longer_than_one() -> None:
    # A true two-fold axis, r = 0.85; a few absurd intensities spoilt three correlations with its mates. The target
    # alone is smallest for one vector of length 20 and its mate at right angles to it.
    spoilt = {(0, 3): 0.32, (2, 2): 0.07, (2, 3): 0.23}
    r = np.full((2, 4, 4), 0.85)
    for (i, j), value in spoilt.items():
        r[1, i, j] = r[1, j, i] = value
    n = np.array(
        [
            [[4864, 989, 358, 2630], [989, 5046, 151, 1334], [358, 151, 5027, 114], [2630, 1334, 114, 4994]],
            [[1602, 1160, 909, 1401], [1160, 1818, 469, 1076], [909, 469, 1254, 1192], [1401, 1076, 1192, 1176]],
        ],
        dtype=np.int32,
    )
    pairs = PairMatrix(r, n, n.astype(float))
    group = SettingsGroup.of(_TWOFOLD, _TWOFOLD[:1])
    found = find_coordinates(pairs, pair_weights(pairs, "standard_error", 3), group, [1, 2, 3, 4])
    length = np.linalg.norm(found.points, axis=2)
    assert length.max() < 1.1
    assert length.min() > 0.7
