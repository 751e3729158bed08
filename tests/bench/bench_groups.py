"""How often groups of crystals are found rightly, and what it costs, under one difficulty after another.

python tests/bench/bench_groups.py [--seeds 10] [--only "cubic,alien"] [--large]

Reflections of random mixtures, see tests/clustering/mixtures.py. Right means: the true number of groups, every sound
crystal in its own (adjusted Rand index 1), every bad one named, no sound one called bad. The CC of a condition is that
of the species' true normalised intensities.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clustering"))

import numpy as np
from mixtures import Mixture, adjusted_rand_index, make

from mxdask.clustering.groups import find_groups

CONDITIONS = {
    "3 x 10, CC 0.985, cubic": Mixture(),
    "3 x 10, CC 0.97": Mixture(cc=0.97),
    "3 x 10, CC 0.99": Mixture(cc=0.99),
    "3 x 10, CC 0.995": Mixture(cc=0.995),
    "20/5/3": Mixture(sizes=(20, 5, 3)),
    "2 x 3": Mixture(sizes=(3, 3), reflections=10000),
    "3 x 2, few common": Mixture(sizes=(2, 2, 2)),
    "3 x 2": Mixture(sizes=(2, 2, 2), reflections=15000),
    "2 x 10": Mixture(sizes=(10, 10)),
    "6 x 8": Mixture(sizes=(8,) * 6),
    "40/2": Mixture(sizes=(40, 2)),
    "one species, 30": Mixture(sizes=(30,)),
    "one species, 6": Mixture(sizes=(6,)),
    "one species, 4": Mixture(sizes=(4,)),
    "one species, 100": Mixture(sizes=(100,)),
    "one species, each a little different": Mixture(sizes=(30,), own=0.01),
    "one species, errors 2 % shared by two mounts": Mixture(sizes=(30,), shared=0.02),
    "one species, errors 3 % shared by two mounts": Mixture(sizes=(30,), shared=0.03),
    "one species, sigmas 3 x too small": Mixture(sizes=(30,), sigma_wrong=3.0),
    "one species, sigmas 2 x too large": Mixture(sizes=(30,), sigma_wrong=0.5),
    "one species, scales and B quite wrong": Mixture(sizes=(30,), b_error=5.0, scale_error=0.7),
    "one species, resolution not known": Mixture(sizes=(30,), known_resolution=False, b_error=0.2),
    "one species, bad ones": Mixture(sizes=(30,), damaged=(0, 5), weak=(1,), half=(2,), alien=(3,)),
    "three species, bad ones": Mixture(damaged=(0,), weak=(1,), half=(2,), alien=(3,)),
    "three species, each a little different": Mixture(own=0.005),
    "three species, errors 2 % shared by two mounts": Mixture(shared=0.02),
    "three species, sigmas 3 x too small": Mixture(sigma_wrong=3.0),
    "three species, resolution not known": Mixture(known_resolution=False, b_error=0.2),
    "two species, an alien": Mixture(sizes=(10, 10), alien=(0,)),
    "P1, 3 % of reflections each": Mixture(reflections=40000, covered=0.03),
    "P1, 3 % each, one species": Mixture(sizes=(30,), reflections=40000, covered=0.03),
    "every crystal complete": Mixture(sizes=(6, 6), covered=0.95),
}  # fmt: skip
LARGE = {
    "500 crystals, 3 species": Mixture(sizes=(250, 150, 100), reflections=15000, covered=0.2),
    "500 crystals, one species": Mixture(sizes=(500,), reflections=15000, covered=0.2),
    "2000 crystals, 4 species": Mixture(sizes=(800, 600, 400, 200), reflections=15000, covered=0.2),
}


def right(m: Mixture, seed: int) -> tuple[bool, str, float]:
    """Whether all is as it should be, what is not, and the processor time."""
    made = make(m, seed)
    start = time.process_time()
    found = find_groups(**made.arguments)
    spent = time.process_time() - start
    bad = sorted({*m.weak, *m.damaged, *m.half, *m.alien})
    sound = np.setdiff1d(np.arange(len(made.truth)), bad)
    wrong = []
    if found.n_groups != len(m.sizes):
        wrong.append(f"{found.n_groups} groups")
    index = adjusted_rand_index(made.truth[sound], found.label[sound])
    if index < 1:
        wrong.append(f"ARI {index:.2f}")
    wrong += [f"not named: {i}" for i in bad if not found.reason[i]]
    wrong += [f"{i} called {found.flaw[i]}" for i in sound if found.reason[i]]
    return not wrong, ", ".join(wrong), spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    words = [w for w in options.only.split(",") if w]
    print(f"{'condition':50s} right       CPU s")
    for name, mixture in (LARGE if options.large else CONDITIONS).items():
        if words and not any(w in name for w in words):
            continue
        results = [right(mixture, seed) for seed in range(options.seeds)]
        n = sum(ok for ok, _, _ in results)
        spent = np.median([t for _, _, t in results])
        wrong = "; ".join(f"{seed}: {text}" for seed, (_, text, _) in enumerate(results) if text)
        print(f"{name:50s} {n:3d} of {len(results):3d}  {spent:6.2f}  {wrong}", flush=True)


if __name__ == "__main__":
    main()
