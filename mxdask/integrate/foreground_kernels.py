# mypy: allow-untyped-defs, allow-untyped-calls
"""Pieces of flat arrays."""

from mxdask._jit import jit


@jit
def copy_pieces(values, start, rows, new_start, out):
    """out[new_start[i]:new_start[i + 1]] = values[start[rows[i]]:start[rows[i] + 1]]; no index array is built."""
    for i in range(len(rows)):
        out[new_start[i] : new_start[i + 1]] = values[start[rows[i]] : start[rows[i] + 1]]
