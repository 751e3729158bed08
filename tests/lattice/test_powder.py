"""Lines of ice, and what lies near them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mxdask.lattice.powder import ice_lines, near_lines


def test_lines_of_hexagonal_ice() -> None:
    # (100), (002), (101), (102), (110), (103), (200), (112), (201); (001) and (003) are absent
    d = [3.895, 3.669, 3.441, 2.671, 2.249, 2.072, 1.948, 1.918, 1.883]
    np.testing.assert_allclose(ice_lines(1.88) ** -0.5, d, atol=0.001)


@given(st.lists(st.floats(0, 1), max_size=8, unique=True), st.lists(st.floats(-0.1, 1.1), max_size=20))
def test_near_is_the_nearest_line(lines: list[float], values: list[float]) -> None:
    found = near_lines(np.array(values), np.array(sorted(lines)), 0.05)
    assert found.tolist() == [any(abs(v - line) < 0.05 for line in lines) for v in values]
