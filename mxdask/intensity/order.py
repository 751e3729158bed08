"""An order of crystals that depends on what they are, not on how their files were listed or named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from mxdask.models.experiment import Experiment


def content_key(experiment: Experiment) -> str:
    """Fingerprint of an experiment: file name of its images, image range, turn, crystal matrix.

    Identifiers are drawn at random when images are imported and folders are moved: neither may touch a result.
    """
    digest = hashlib.blake2b(digest_size=16)
    if experiment.imageset is not None:
        digest.update(experiment.imageset.name.encode())
    if experiment.scan is not None:
        digest.update(repr((experiment.scan.image_range, experiment.scan.oscillation)).encode())
    if experiment.crystal is not None:
        digest.update(np.ascontiguousarray(experiment.crystal.A, dtype=np.float64).tobytes())
    return digest.hexdigest()


def canonical_order(experiments: Sequence[Experiment]) -> list[int]:
    """Rows sorted by content: any permutation of the same experiments gives them in this one order."""
    keys = [content_key(e) for e in experiments]
    return sorted(range(len(keys)), key=keys.__getitem__)


def seed_of(key: str, seed: int) -> int:
    """A number for random choices that depends on a crystal's key and the user's seed only."""
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
