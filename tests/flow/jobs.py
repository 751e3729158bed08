"""Functions that tasks of the tests run; a module of its own, so that other processes can import it."""

from __future__ import annotations

from mxdask.errors import MxdaskError
from mxdask.table import ReflectionTable


def square(x: int) -> int:
    if x == 3:
        raise MxdaskError("three is not squared")
    return x * x


def total(*values: int) -> int:
    return sum(values)


def count_and_square(x: int, log: str) -> int:
    with open(log, "a") as file:
        file.write(f"{x}\n")
    return square(x)


def rows(table: ReflectionTable) -> tuple[int, float]:
    return len(table), float(table["d"].sum())
