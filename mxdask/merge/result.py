"""What merging gives: the columns of an MTZ file and everything said about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gemmi
import numpy as np


@dataclass(frozen=True)
class Dataset:
    """A data set of an MTZ file: names and wavelength (Å)."""

    project: str
    crystal: str
    name: str
    wavelength: float


@dataclass(frozen=True)
class Column:
    """One column: MTZ label and type letter, (n,) values (NaN: missing), and which data set it belongs to."""

    label: str
    type: str
    values: np.ndarray
    dataset: int = 0


@dataclass(frozen=True)
class MergedResult:
    """Merged data.

    Attributes
    ----------
    hkl : (n, 3) i4, CCP4's asymmetric unit, sorted.
    columns : in file order.
    summary : statistics, JSON-able.
    """

    hkl: np.ndarray
    columns: tuple[Column, ...]
    datasets: tuple[Dataset, ...]
    cell: gemmi.UnitCell
    space_group: gemmi.SpaceGroup
    title: str
    history: tuple[str, ...]
    summary: dict[str, Any] = field(default_factory=dict)
