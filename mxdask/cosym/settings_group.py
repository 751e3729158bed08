"""The group of settings a crystal may be in, as a multiplication table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.lattice.operators import left_cosets


@dataclass(frozen=True, eq=False)
class SettingsGroup:
    """Lattice group L modulo the symmetry in which the intensities were merged, which must be normal in L.

    Correlations of crystal i in setting k with crystal j in setting l depend on l⁻¹k only, taken modulo that
    symmetry; so the elements here are those of a quotient group.

    Attributes
    ----------
    ops : (s, 3, 3) representatives of the elements, identity first.
    product : (s, s) i8, element of ops[a]·ops[b].
    inverse : (s,) i8.
    core : (c, 3, 3) the normal subgroup divided out.
    """

    ops: np.ndarray
    product: np.ndarray
    inverse: np.ndarray
    core: np.ndarray

    def __len__(self) -> int:
        return len(self.ops)

    @classmethod
    def of(cls, lattice: np.ndarray, core: np.ndarray) -> SettingsGroup:
        """Quotient of ``lattice`` (n, 3, 3) by its normal subgroup ``core``."""
        ops = np.array(left_cosets(lattice, core))
        member = {tuple((g @ c).ravel()): i for i, g in enumerate(ops) for c in core}
        product = np.array([[member[tuple((a @ b).ravel())] for b in ops] for a in ops])
        inverse = np.argmax(product == 0, axis=1)
        return cls(ops, product, inverse, core)

    def element(self, op: np.ndarray) -> int:
        """Which element an operator of the lattice group belongs to."""
        for i, g in enumerate(self.ops):
            if any(np.array_equal(g @ c, op) for c in self.core):
                return i
        raise ValueError("operator is not in the lattice group")


def normal_core(lattice: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Largest subgroup of ``group`` (k, 3, 3) that is normal in ``lattice``: the intersection of its conjugates.

    Crystals of a known group may still be indexed with that group along different axes of the lattice; only the core
    is a symmetry of all of them before their settings are known.
    """
    core = list(group)
    for g in lattice:
        back = np.rint(np.linalg.inv(g)).astype(np.int64)
        conjugate = {tuple((g @ op @ back).ravel()) for op in group}
        core = [op for op in core if tuple(op.ravel()) in conjugate]
    return np.array(core)
