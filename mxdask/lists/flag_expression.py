"""Logical expressions of flags: ``integrated_sum & ~(overloaded | in_powder_ring)``."""

from __future__ import annotations

import ast

import numpy as np

from mxdask.errors import ParameterError
from mxdask.table import Flag, ReflectionTable

# Composites are met when all their bits are set, as in DIALS; `overloaded | in_powder_ring | …` for any of them.
_EXTRA = {
    "includes_bad_pixels": Flag.FOREGROUND_INCLUDES_BAD_PIXELS | Flag.BACKGROUND_INCLUDES_BAD_PIXELS,
    "bad_shoebox": Flag(0b111111 << 10),
    "bad_spot": Flag(0b111111 << 10),
}
NAMES: dict[str, Flag] = {name.lower(): flag for name, flag in Flag.__members__.items()} | _EXTRA


def evaluate(expression: str, table: ReflectionTable) -> np.ndarray:
    """(n,) mask of rows that satisfy an expression of flag names with &, |, ~, parentheses (or and, or, not).

    Raises
    ------
    ParameterError : not such an expression, or an unknown flag.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise ParameterError(f"flag_expression={expression}: cannot be read; join flags with &, | and ~") from None
    return _value(tree, table, expression)


def _value(node: ast.expr, table: ReflectionTable, text: str) -> np.ndarray:
    if isinstance(node, ast.Name):
        if node.id.lower() not in NAMES:
            import difflib

            close = difflib.get_close_matches(node.id.lower(), NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"flags are {', '.join(NAMES)}"
            raise ParameterError(f"flag_expression={text}: there is no flag {node.id}; {hint}")
        return table.has_flags(NAMES[node.id.lower()])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        left, right = _value(node.left, table, text), _value(node.right, table, text)
        return left & right if isinstance(node.op, ast.BitAnd) else left | right
    if isinstance(node, ast.BoolOp):
        parts = [_value(v, table, text) for v in node.values]
        return np.all(parts, axis=0) if isinstance(node.op, ast.And) else np.any(parts, axis=0)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert | ast.Not):
        return ~_value(node.operand, table, text)
    raise ParameterError(f"flag_expression={text}: only flag names, &, |, ~ and parentheses are understood")


def count_flags(table: ReflectionTable) -> list[tuple[str, int]]:
    """Flags that any row has, and how many have it."""
    counts = [(name, int(np.count_nonzero(table.has_flags(flag)))) for name, flag in NAMES.items()]
    return [(name, n) for name, n in counts if n]
