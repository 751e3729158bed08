"""How many crystals are indexed rightly, and what it costs, under one difficulty after another.

python tests/bench/bench_index.py [--crystals 50] [--only "ice,drift"] [--seed 0] [--verbose]

Spots of random crystals of all lattice types in wedges of 5°. Right means the true lattice: cell within 1 %,
orientation within 0.3° modulo its symmetry; with several lattices all of them. "axis inverted" asks for the true cell
alone, since the orientation belongs to the geometry.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "index"))

import numpy as np
from random_crystals import CONDITIONS, Condition, misorientation, n_right, random_sweep
from synthetic_spots import join

from mxdask.flow import Flow
from mxdask.index.known_symmetry import match_cell, primitive_rows
from mxdask.index.params import Params
from mxdask.index.step import run
from mxdask.params import parse


def one(condition: Condition, number: int, seed: int, known: bool) -> tuple[bool, float, float, str]:
    """Whether one crystal was indexed rightly, its orientation's error (degrees), CPU seconds, a line about it."""
    sweep, cell, symbol = random_sweep(condition, number, seed)
    words = list(condition.words)
    if known:
        # As people know cells: from another crystal, of another setting perhaps, half a per cent off.
        rng = np.random.default_rng([seed, number])
        off = np.array(cell)
        off[:3] *= 1.0 + 0.005 * rng.uniform(-1, 1)
        words += ["unit_cell=" + ",".join(f"{x:.3f}" for x in off), f"space_group={symbol.split(':')[0]}"]
    begin = time.process_time()
    with Flow("sync") as flow:
        found, _, summary = run(*join([sweep]), parse(Params, words), flow=flow)
    cost = time.process_time() - begin
    crystals = [e.crystal for e in found]
    if condition.sweep.get("axis_is_inverted"):
        goal = primitive_rows(sweep.truth[0])
        right = bool(crystals) and match_cell(primitive_rows(crystals[0]), goal, 0.01, 1.0) is not None
    else:
        right = n_right(crystals, sweep.truth) == len(sweep.truth)
    row = summary["rows"][0]
    line = f"{number} {symbol} {np.round(cell, 1)} {len(sweep.table)} spots, {row['n_indexed']} indexed; "
    line += f"{[np.round(c.cell, 2).tolist() for c in crystals]} {row['reason']} {row['attempts']}"
    error = min((misorientation(c, sweep.truth[0]) for c in crystals), default=np.inf)
    return right, error, cost, line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=28, help="per condition")
    parser.add_argument("--only", help="names of conditions, with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="say what failed")
    arguments = parser.parse_args()
    chosen = [c for c in CONDITIONS if arguments.only is None or c.name in arguments.only.split(",")]
    header = ["without prior", "error (°)", "CPU s", "known cell", "error (°)", "CPU s"]
    print(f"{'condition':16s}", *(f"{h:>14s}" for h in header))
    for condition in chosen:
        cells = []
        for known in (False, True):
            results = [one(condition, i, arguments.seed, known) for i in range(arguments.crystals)]
            n = sum(r[0] for r in results)
            errors, cost = np.array([r[1] for r in results]), np.mean([r[2] for r in results])
            middle = f"{np.median(errors):.3f}"
            cells += [f"{n}/{len(results)} {100 * n / len(results):5.1f} %", middle, f"{cost:.2f}"]
            if arguments.verbose:
                for right, _, _, line in results:
                    if not right:
                        print(f"   {'known' if known else 'free'}: {line}")
        print(f"{condition.name:16s}", *(f"{c:>14s}" for c in cells), flush=True)


if __name__ == "__main__":
    main()
