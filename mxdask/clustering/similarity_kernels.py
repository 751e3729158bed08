# mypy: allow-untyped-defs, allow-untyped-calls
"""Kernel of the residual correlations: sums over the reflections that two crystals share."""

from mxdask._jit import jit


@jit
def add_pair_sums(start, crystal, residual, shared, weight, lo, hi, sums):
    """Add the sums of pairs of crystals lo ≤ i < hi and j > i.

    Rows start[h]:start[h + 1] are the observations of reflection h, crystals ascending. ``sums`` (hi - lo, n, 4):
    the number of common reflections, Σ (r_i r_j + b_i b_j), Σ f_i f_j, Σ f_i² f_j², of residual r, shared b, weight f.
    """
    for h in range(len(start) - 1):
        s0, s1 = start[h], start[h + 1]
        for p in range(s0, s1):
            i = crystal[p]
            if i < lo:
                continue
            if i >= hi:
                break
            r, b, f = residual[p], shared[p], weight[p]
            row = sums[i - lo]
            for q in range(p + 1, s1):
                cell = row[crystal[q]]
                ff = f * weight[q]
                cell[0] += 1.0
                cell[1] += r * residual[q] + b * shared[q]
                cell[2] += ff
                cell[3] += ff * ff
