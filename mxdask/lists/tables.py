"""Tables of the same experiments joined, and rows sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from mxdask.errors import MxdaskError, ParameterError
from mxdask.params import StepParams
from mxdask.table import ReflectionTable


class MergeParams(StepParams):
    """Parameters of merge_reflection_lists."""

    method: Literal["update", "extend"] = Field(
        "update",
        description="update: columns of later files go over those of the first; extend: rows one after another",
    )
    output: str = Field("merged.refl", description="File of the joined table")


class SortParams(StepParams):
    """Parameters of sort_reflections."""

    key: str = Field("miller_index", description="Column to sort by (vectors by their elements, first to last)")
    reverse: bool = Field(False, description="Largest first")
    output: str = Field("sorted.refl", description="File of the sorted table")


def merge_tables(tables: Sequence[ReflectionTable], method: Literal["update", "extend"]) -> ReflectionTable:
    """One table out of several.

    Parameters
    ----------
    method : ``extend`` appends rows (an experiment that two tables name stays one; ids are renumbered by
        identifier); ``update`` replaces or adds columns, for tables with the same rows.

    Raises
    ------
    MxdaskError : tables to ``update`` with different numbers of rows.
    """
    if method == "extend":
        return ReflectionTable.concat(_with_common_ids(tables))
    merged = tables[0].copy()
    for table in tables[1:]:
        if len(table) != len(merged):
            raise MxdaskError(f"method=update needs tables with the same rows: {len(merged)} and {len(table)}")
        for name in table:
            merged[name] = table[name]
        merged.identifiers = table.identifiers or merged.identifiers
        if table.shoeboxes is not None:
            merged.shoeboxes = table.shoeboxes
    return merged


def _with_common_ids(tables: Sequence[ReflectionTable]) -> list[ReflectionTable]:
    numbers: dict[str, int] = {}
    out = []
    for table in tables:
        part = table.copy()
        if "id" in part and part.identifiers:
            ids = part["id"].copy()
            renamed = {}
            for old, identifier in part.identifiers.items():
                renamed[old] = numbers.setdefault(identifier, len(numbers))
                ids[part["id"] == old] = renamed[old]
            part["id"] = ids
            part.identifiers = {renamed[old]: s for old, s in part.identifiers.items()}
        out.append(part)
    return out


def sorted_table(table: ReflectionTable, key: str, *, reverse: bool = False) -> ReflectionTable:
    """Rows in the order of a column; equal ones keep their order.

    Raises
    ------
    ParameterError : no such column.
    """
    if key not in table:
        raise ParameterError(f"key={key}: the table has no such column (it has {', '.join(sorted(table))})")
    values = table[key]
    order = np.lexsort(values.T[::-1]) if values.ndim == 2 else np.argsort(values, kind="stable")
    if reverse:  # stable, too: equal rows are not turned round
        _, rank = np.unique(values, axis=0, return_inverse=True)
        order = np.argsort(-rank.ravel(), kind="stable")
    return table.select(order)
