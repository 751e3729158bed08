"""What experiments and panels say of themselves."""

from __future__ import annotations

import numpy as np
import pytest

from mxdask.models import Beam, Detector, Experiment, Goniometer, Panel, Scan

PANEL = Panel((1, 0, 0), (0, -1, 0), (-10.0, 10.0, -100.0), (100, 100), (0.2, 0.2))
WHOLE = Experiment(
    "x", beam=Beam([0, 0, 1], 1.0), detector=Detector((PANEL,)), goniometer=Goniometer.single_axis([1, 0, 0]),
    scan=Scan((1, 10), (0.0, 0.1)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"scan": None}, "scan"),
        ({"beam": None, "scan": None}, "beam and no scan"),
        ({"scan": Scan((1, 10), (0.0, 0.0))}, "rotation between images"),
        ({"scan": Scan((1, 10), None)}, "rotation between images"),
    ],
)
def test_what_rotation_data_need(changes: dict, words: str) -> None:
    assert WHOLE.evolve(**changes).lacks_for_rotation == words


@pytest.mark.parametrize("slow", [(0, -1, 0), (0, 1, 0)])
def test_outward_is_away_from_the_sample_whichever_way_the_axes_go(slow: tuple[int, int, int]) -> None:
    panel = PANEL.with_frame(PANEL.fast_axis, np.array(slow), PANEL.origin)
    np.testing.assert_array_equal(panel.outward, (0, 0, -1))
    assert panel.origin @ panel.outward == panel.distance == 100.0
