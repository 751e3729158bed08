"""Were indices counted from the right origin, and do mates agree? (front.md 10.4)"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from pydantic import Field

from mxdask.bravais.correlation import Correlation, operator_correlation, signals_of
from mxdask.lattice.metric import lattice_operators
from mxdask.lattice.operators import hkl_of, point_group
from mxdask.models import Crystal
from mxdask.params import StepParams
from mxdask.table import ReflectionTable
from mxdask.text import text_table

_INVERSION = -np.eye(3, dtype=np.int64)


class Params(StepParams):
    """Parameters of check_indexing_symmetry."""

    d_min: float | None = Field(None, gt=0, description="Use reflections up to here", json_schema_extra={"unit": "Å"})
    d_max: float | None = Field(None, gt=0, description="Use reflections from here", json_schema_extra={"unit": "Å"})
    operators: Literal["auto", "space_group", "lattice"] = Field(
        "auto", description="Operators of the space group, or all that the lattice allows; auto: of the lattice for P 1"
    )
    lepage_max_delta: float = Field(
        5.0, gt=0, description="Tolerance of the lattice's symmetry", json_schema_extra={"unit": "°"}
    )
    grid: int = Field(0, ge=0, le=10, description="Test offsets of the indices up to ± this; 0: do not")
    grid_h: int = Field(0, ge=0, le=10, description="The same for h alone")
    grid_k: int = Field(0, ge=0, le=10, description="The same for k alone")
    grid_l: int = Field(0, ge=0, le=10, description="The same for l alone")
    symop_threshold: float = Field(
        0.0, ge=0, le=1, description="Mark operators whose cc - 2 standard errors exceeds this; list offsets above it"
    )


@dataclass(frozen=True, eq=False)
class OperatorTest:
    """One operator W on the indices (h' = W·h)."""

    op: np.ndarray
    result: Correlation

    @property
    def name(self) -> str:
        """The operator as ``h,k,l``."""
        return hkl_of(self.op)


@dataclass(frozen=True)
class OffsetTest:
    """Friedel mates when ``offset`` is added to all indices. z: standard deviations above the mean of all offsets."""

    offset: tuple[int, int, int]
    result: Correlation
    z: float


def within(table: ReflectionTable, crystal: Crystal, d_min: float | None, d_max: float | None) -> ReflectionTable:
    """Indexed reflections within resolution limits (Å)."""
    hkl = table["miller_index"]
    q = np.linalg.norm(hkl @ crystal.A.T, axis=1)
    keep = q > 0
    if d_min is not None:
        keep &= q <= 1 / d_min
    if d_max is not None:
        keep &= q >= 1 / d_max
    return table.select(keep)


def operators_of(crystal: Crystal, params: Params) -> np.ndarray:
    """(n, 3, 3) operators to test, the identity first; those that a centred cell turns into fractions are left out."""
    of_lattice = params.operators == "lattice" or (params.operators == "auto" and crystal.space_group.number == 1)
    if not of_lattice:
        return point_group(crystal.space_group)
    return lattice_operators(crystal.cell, crystal.space_group.centring_type(), params.lepage_max_delta)


def operator_tests(table: ReflectionTable, operators: np.ndarray) -> list[OperatorTest]:
    """Correlation of I/σ(I) > 0 between h and W·h for every operator."""
    data = signals_of(table, positive=True)
    return [OperatorTest(op, operator_correlation(data, op)) for op in operators]


def offset_tests(table: ReflectionTable, reach: tuple[int, int, int]) -> list[OffsetTest]:
    """Friedel mates under every offset of the indices up to ±reach: the right origin correlates best."""
    data = signals_of(table, positive=True)
    offsets = list(product(*(range(-n, n + 1) for n in reach)))
    results = [operator_correlation(data, _INVERSION, np.array(offset)) for offset in offsets]
    cc = np.array([r.cc for r in results])
    told = np.isfinite(cc)
    mean, sd = (cc[told].mean(), cc[told].std()) if told.any() else (np.nan, np.nan)
    return [
        OffsetTest((o[0], o[1], o[2]), r, float((r.cc - mean) / sd) if sd > 0 else float("nan"))
        for o, r in zip(offsets, results, strict=True)
    ]


def reach_of(params: Params) -> tuple[int, int, int]:
    """Largest offsets to test along h, k, l."""
    return params.grid_h or params.grid, params.grid_k or params.grid, params.grid_l or params.grid


def operator_table(tests: list[OperatorTest], threshold: float) -> str:
    """Symop, number of pairs, correlation, mark."""
    rows = []
    for test in tests:
        cc, error = test.result.cc, test.result.standard_error
        mark = "***" if threshold and cc - 2 * error > threshold else ""
        rows.append((test.name, test.result.n, f"{cc:.3f}", f"{error:.3f}", mark))
    return text_table(("Symop", "Nref", "CC", "s.e.", ""), rows)


def offset_table(tests: list[OffsetTest], threshold: float) -> str:
    """Offsets above the threshold and the one of no offset, the best first."""
    shown = [t for t in tests if t.result.cc > threshold or t.offset == (0, 0, 0)]
    shown.sort(key=lambda t: -t.result.cc if np.isfinite(t.result.cc) else 2.0)
    rows = [(*t.offset, t.result.n, f"{t.result.cc:.3f}", f"{t.z:.1f}") for t in shown]
    return text_table(("dH", "dK", "dL", "Nref", "CC", "z"), rows)
