"""Pixels that read as strong on many images (``find_bad_pixels``, front.md 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mxdask.errors import MxdaskError, ParameterError
from mxdask.flow import Failed, Flow
from mxdask.images import open_stack
from mxdask.models import Experiment
from mxdask.spots.images import find_in_block
from mxdask.spots.params import Filter, Params
from mxdask.spots.tool_params import BadParams

_BLOCK = 20


def bad_pixels(experiment: Experiment, params: BadParams, *, flow: Flow) -> list[tuple[int, int, int]]:
    """(panel, slow, fast) of the pixels that are strong on at least ``fraction`` of the images of a sweep.

    The threshold is that of find_spots with its defaults. The limit is rounded down to whole images, but at least one.

    Raises
    ------
    ParameterError : an image outside the scan. MxdaskError : an image cannot be read.
    """
    assert experiment.detector is not None
    stack = open_stack(experiment)
    first, end = stack.array_range
    wanted = _images(params, first, end)
    excluded = frozenset(range(first, end)) - {n - 1 for n in wanted}
    spot_params = Params(filter=Filter(min_spot_size=1, max_strong_pixel_fraction=1.0))
    blocks = [(z, min(z + _BLOCK, end)) for z in range(first, end, _BLOCK)]
    blocks = [(a, b) for a, b in blocks if not excluded.issuperset(range(a, b))]
    items = [(stack, experiment, spot_params, (a, b), excluded & frozenset(range(a, b))) for a, b in blocks]
    results = flow.map(find_in_block, items, name="bad-pixels")
    for result in results:
        if isinstance(result, Failed):
            raise MxdaskError(f"{experiment.name}: {result.reason}")
    unreadable = sum(bool(image.problem) for r in results for image in r.images)
    if unreadable == len(wanted):
        raise MxdaskError(f"{experiment.name}: {results[0].images[0].problem}")
    limit = max(1, int(params.fraction * (len(wanted) - unreadable)))
    out = []
    for number, panel in enumerate(experiment.detector.panels):
        width, height = panel.image_size
        times = np.zeros(width * height, dtype=np.int64)
        for result in results:
            index, n_images = result.presence[number]
            times[index] += n_images
        out += [(number, int(p) // width, int(p) % width) for p in np.flatnonzero(times >= limit)]
    return out


def common(found: Sequence[list[tuple[int, int, int]]]) -> list[tuple[int, int, int]]:
    """Pixels that are bad in every sweep."""
    shared = set(found[0]).intersection(*found[1:]) if found else set()
    return sorted(shared)


def _images(params: BadParams, first: int, end: int) -> list[int]:
    """Image numbers to look at."""
    low, high = params.image_range or (first + 1, end)
    images = sorted(set(params.images)) or list(range(low, high + 1))
    if not images or images[0] < first + 1 or images[-1] > end:
        raise ParameterError(f"images {images[:1]}..{images[-1:]} are not all in the scan, which is {first + 1}..{end}")
    return images
