"""Multiplex on generated crystals: time and memory of the whole command. Prints what docs and reports quote.

    python tests/bench/bench_multiplex.py FOLDER [N_CRYSTALS [D_MIN [N_IMAGES]]]

Crystals are wedges of three species of an insulin-like cubic cell in random settings (tests/multiplex/wedges.py).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "multiplex"))

from wedges import Lattice, Wedge, crystals

from mxdask.io.expt import write_expt
from mxdask.io.refl import write_refl


def main(folder: Path, n: int, d_min: float, n_images: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lattice = Lattice(d_min=d_min)
    experiments, table = crystals(lattice, [Wedge(species=i % 3) for i in range(n)], n_images=n_images)
    write_expt(folder / "integrated.expt", experiments, program="bench")
    write_refl(folder / "integrated.refl", table)
    print(f"{n} crystals, {len(table)} reflections ({len(table) / n:.0f} each)")
    command = [
        sys.executable, "-m", "mxdask", "multiplex", "integrated.expt", "integrated.refl", "--workers", "2",
        "--output-dir", "out",
    ]  # fmt: skip
    begin = time.perf_counter()
    subprocess.run(
        command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    wall = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"wall {wall:.1f} s, cpu {used.ru_utime + used.ru_stime:.1f} s, peak {used.ru_maxrss / 2**20:.2f} GiB")
    rows = (folder / "out" / "decisions.csv").read_text().splitlines()[1:]
    found = [r.split(",")[4] for r in rows]
    pure = all(len({found[i] for i in range(s, n, 3)}) == 1 for s in range(3))
    print(f"groups found: {sorted(set(found))}, each species in one group: {pure}")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(
        Path(words[0]),
        int(words[1]) if len(words) > 1 else 30,
        float(words[2]) if len(words) > 2 else 2.5,
        int(words[3]) if len(words) > 3 else 50,
    )
