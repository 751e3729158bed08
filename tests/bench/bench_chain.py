"""cosym, scale, ΔCC½ and merge on many made-up crystals: seconds and peak memory of each command.

python tests/bench/bench_chain.py 1000 [--reflections 5000] [--filter]     --filter: scale once more, filtering
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench_cosym import INPUT, measured
from generated_crystals import write

COMMANDS = {
    "cosym": ["cosym", *INPUT],
    "scale": ["scale", "symmetrized.expt", "symmetrized.refl"],
    "compute_delta_cchalf": ["compute_delta_cchalf", "scaled.expt", "scaled.refl"],
    "merge": ["merge", "scaled.expt", "scaled.refl"],
}
FILTERING = ["filtering.method=deltacchalf", "--output-dir", "filtered"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crystals", type=int)
    parser.add_argument("--reflections", type=int, default=5000)
    parser.add_argument("--filter", action="store_true")
    words = parser.parse_args()
    commands = COMMANDS | ({"scale with filtering": [*COMMANDS["scale"], *FILTERING]} if words.filter else {})
    used = []
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), words.crystals, reflections=words.reflections, wedge=10.0)
        for what, command in commands.items():
            used.append(measured(["mxdask", *command], Path(name)))
            cpu, wall, memory = used[-1]
            print(f"{what:22s} {cpu:7.1f} s CPU {wall:7.1f} s wall, peak {memory:.2f} GB", flush=True)
    cpu, wall, memory = (f(column) for f, column in zip((sum, sum, max), zip(*used, strict=True), strict=True))
    print(f"{'together':22s} {cpu:7.1f} s CPU {wall:7.1f} s wall, peak {memory:.2f} GB")


if __name__ == "__main__":
    main()
