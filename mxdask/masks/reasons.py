"""Why each pixel of a detector is masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Reasons:
    """Reasons in order of their entry; a pixel keeps its first one.

    Attributes
    ----------
    codes : per panel (slow, fast) u1: 0 is good, k the k-th of ``names``.
    touched : per reason the number of pixels it masks, those of earlier reasons among them.
    """

    codes: tuple[np.ndarray, ...]
    names: list[str] = field(default_factory=list)
    touched: list[int] = field(default_factory=list)

    @classmethod
    def none(cls, shapes: Sequence[tuple[int, int]]) -> Reasons:
        """Nothing masked yet on panels of these (slow, fast) shapes."""
        return cls(tuple(np.zeros(shape, dtype=np.uint8) for shape in shapes))

    def add(self, name: str, masks: Sequence[np.ndarray]) -> None:
        """Enter a reason with its masks, one (slow, fast) bool per panel, False = masked."""
        if name in self.names:
            name = f"{name} ({sum(n == name or n.startswith(name + ' (') for n in self.names) + 1})"
        self.names.append(name)
        number = len(self.names)
        if number > 255:
            raise ValueError("more than 255 reasons")
        self.touched.append(sum(int(np.count_nonzero(~mask)) for mask in masks))
        for code, mask in zip(self.codes, masks, strict=True):
            code[(code == 0) & ~mask] = number

    @property
    def n_pixels(self) -> int:
        """Pixels of all panels."""
        return sum(code.size for code in self.codes)

    def rows(self) -> list[tuple[str, int, int]]:
        """(reason, pixels masked for it first, pixels it masks at all) per reason."""
        first = sum((np.bincount(c.ravel(), minlength=256) for c in self.codes), np.zeros(256, dtype=np.int64))
        return [(name, int(first[k + 1]), self.touched[k]) for k, name in enumerate(self.names)]
