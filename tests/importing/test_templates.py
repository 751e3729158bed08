"""File names of sequences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdask.io.templates import image_path, natural_key, template_of


@pytest.mark.parametrize(
    ("name", "template", "number"),
    [
        ("/d/a_0001.cbf", "/d/a_####.cbf", 1),
        ("/d/a_1_00012.cbf.gz", "/d/a_1_#####.cbf.gz", 12),
        ("/d/l-cyst_01_00007.cbf.bz2", "/d/l-cyst_01_#####.cbf.bz2", 7),
        ("/d/image2.034", "/d/image2.###", 34),
        ("/d/x12y.img", "/d/x##y.img", 12),
    ],
)
def test_examples(name: str, template: str, number: int) -> None:
    assert template_of(name) == (template, number)
    assert image_path(template, number) == name


def test_name_without_digits() -> None:
    assert template_of("/d/image.cbf") is None


@given(st.text("abc_-0123456789", max_size=8), st.integers(0, 99999))
def test_number_comes_back(prefix: str, number: int) -> None:
    name = f"/d/{prefix}_{number:05d}.cbf"
    found = template_of(name)
    assert found is not None
    assert found[1] == number
    assert image_path(*found) == name


def test_natural_order() -> None:
    assert sorted(["x_10", "x_9", "x_1"], key=natural_key) == ["x_1", "x_9", "x_10"]
