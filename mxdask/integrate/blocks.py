"""How a sweep is cut into blocks of images (from metadata alone)."""

from __future__ import annotations

import itertools
import math

import numpy as np

from mxdask.integrate.params import Block
from mxdask.models import Experiment

# A box pixel is held as 4 bytes; boxes of a well-diffracting crystal cover about half of the detector's pixels.
BYTES_PER_PIXEL = 2.0
LARGEST, SMALLEST = 200, 5


def plan_blocks(experiment: Experiment, block: Block) -> list[tuple[int, int]]:
    """Half-open ranges of frame coordinates that cover the scan, of nearly equal length."""
    scan, detector = experiment.scan, experiment.detector
    assert scan is not None and detector is not None
    first, last = scan.array_range
    if block.size is not None:
        size = block.size
    else:
        pixels = sum(p.image_size[0] * p.image_size[1] for p in detector.panels)
        size = int(np.clip(block.memory * 1e6 / (BYTES_PER_PIXEL * pixels), SMALLEST, LARGEST))
    n = math.ceil((last - first) / size)
    edges = first + (np.arange(n + 1) * (last - first)) // n
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def rows_of_block(z: np.ndarray, array_range: tuple[int, int], block: tuple[int, int]) -> np.ndarray:
    """Rows of the reflections a block owns: those predicted in it; beyond the scan's ends, the outermost block's."""
    first, last = array_range
    place = np.clip(np.floor(z), first, last - 1)
    return np.flatnonzero((place >= block[0]) & (place < block[1]))
