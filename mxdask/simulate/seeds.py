"""Random numbers that belong to an item, not to the order in which items are made."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, item: int = 0) -> np.random.Generator:
    """A generator for one purpose of one item (crystal, variant …) of a set with this seed."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), item])


def noise_key(seed: int, item: int, frame: int) -> int:
    """Key (64 bits) of the photon noise of one frame of one crystal."""
    return int(np.random.SeedSequence([seed, zlib.crc32(b"photons"), item, frame]).generate_state(1, np.uint64)[0])
