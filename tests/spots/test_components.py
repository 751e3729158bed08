"""Connected components: against scipy on dense arrays, and independence of how the frames were cut."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mxdask.spots.components import Block, Components, drop_closed, join_blocks, label_block

LARGEST = 60


def make_stack(seed: int, shape: tuple[int, int, int], density: float, brightest: int) -> np.ndarray:
    """(frame, slow, fast) values, 0 = not strong; blobs of all sizes appear as density grows."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < density, rng.integers(1, brightest, shape), 0)


def sparse(frames: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.flatnonzero(f), f.ravel()[np.flatnonzero(f)].astype(np.int64)) for f in frames]


def whole(stack: np.ndarray, z0: int, *, flat: bool) -> Block:
    return label_block((z0, z0 + len(stack)), sparse(stack), stack.shape[2], flat=flat, largest=LARGEST)


def in_pieces(stack: np.ndarray, z0: int, edges: list[int], *, flat: bool, keep_pixels: bool) -> Block:
    cuts = sorted({0, len(stack), *(e % len(stack) for e in edges)})
    blocks = []
    for a, b in pairwise(cuts):
        block = label_block((z0 + a, z0 + b), sparse(stack[a:b]), stack.shape[2], flat=flat, largest=LARGEST)
        blocks.append(drop_closed(block, (z0, z0 + len(stack)), 2, LARGEST, flat=flat, keep_pixels=keep_pixels))
    return join_blocks(blocks, flat=flat)


def of_right_size(c: Components) -> Components:
    return c.select((c.size >= 2) & (c.size <= LARGEST))


stacks = st.builds(
    make_stack,
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 13)),
    density=st.sampled_from([0.02, 0.15, 0.3, 0.5]),
    brightest=st.sampled_from([2, 1000, 2**31]),
)


@given(stack=stacks, z0=st.integers(0, 500), flat=st.booleans())
@settings(max_examples=80, deadline=None)
def test_same_partition_and_sums_as_dense_labelling(stack, z0, flat):
    structure = ndimage.generate_binary_structure(3, 1)
    if flat:
        structure[0], structure[2] = False, False
    labels, n = ndimage.label(stack, structure)
    c = whole(stack, z0, flat=flat).components
    assert len(c) == n
    order = np.argsort([np.flatnonzero(labels == k + 1)[0] for k in range(n)])
    for row, k in enumerate(order):
        z, y, x = np.nonzero(labels == k + 1)
        v = stack[z, y, x].astype(object)
        position = np.column_stack([x, y, z + z0])
        assert c.size[row] == len(v)
        np.testing.assert_array_equal(c.lower[row], position.min(axis=0))
        np.testing.assert_array_equal(c.upper[row], position.max(axis=0) + 1)
        np.testing.assert_array_equal(c.origin[row], position[0])
        np.testing.assert_array_equal(c.peak_at[row], position[np.argmax(v)])
        assert c.peak[row] == max(v)
        if len(v) <= LARGEST:
            u = (position - position[0]).astype(object)
            assert c.total[row] == sum(v)
            assert int(c.square[row, 0]) * 2**32 + int(c.square[row, 1]) == sum(v * v)
            assert [*c.moment[row]] == [sum(v * u[:, a]) for a in range(3)]
            assert [*c.moment2[row]] == [sum(v * u[:, a] ** 2) for a in range(3)]


@given(
    stack=stacks,
    z0=st.integers(0, 500),
    edges=st.lists(st.integers(0, 100), max_size=6),
    flat=st.booleans(),
    keep_pixels=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_cutting_into_blocks_changes_nothing(stack, z0, edges, flat, keep_pixels):
    one = whole(stack, z0, flat=flat)
    cut = in_pieces(stack, z0, edges, flat=flat, keep_pixels=keep_pixels)
    expected, found = of_right_size(one.components), of_right_size(cut.components)
    for field in fields(Components):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), err_msg=field.name)
    size = one.components.size
    large = cut.components.size > LARGEST
    small = cut.components.size < 2
    assert cut.n_small + small.sum() == (size < 2).sum()
    assert cut.n_large + large.sum() == (size > LARGEST).sum()


@given(stack=stacks, first=st.integers(0, 8), second=st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_joining_is_associative(stack, first, second):
    cuts = sorted({0, len(stack), first % len(stack), second % len(stack)})
    blocks = [
        label_block((a, b), sparse(stack[a:b]), stack.shape[2], flat=False, largest=LARGEST) for a, b in pairwise(cuts)
    ]
    left = blocks[0]
    for block in blocks[1:]:
        left = join_blocks([left, block], flat=False)
    at_once = join_blocks(blocks, flat=False)
    for field in fields(Components):
        np.testing.assert_array_equal(getattr(left.components, field.name), getattr(at_once.components, field.name))
    np.testing.assert_array_equal(left.pixels.label, at_once.pixels.label)


def test_corners_do_not_connect():
    stack = np.zeros((2, 3, 3), int)
    stack[0, 0, 0] = stack[0, 1, 1] = stack[1, 1, 2] = 5
    assert len(whole(stack, 0, flat=False).components) == 3


def test_end_of_row_is_not_next_to_start_of_next_row():
    stack = np.zeros((1, 2, 4), int)
    stack[0, 0, 3] = stack[0, 1, 0] = 5
    assert len(whole(stack, 0, flat=False).components) == 2


def test_two_arms_that_meet_in_a_later_block_are_one_spot():
    stack = np.zeros((3, 1, 3), int)
    stack[:2, 0, 0] = stack[:2, 0, 2] = 1
    stack[2, 0] = 1
    joined = in_pieces(stack, 0, [1, 2], flat=False, keep_pixels=True).components
    assert len(joined) == 1
    assert joined.size[0] == 7
