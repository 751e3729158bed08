"""``mxdask cosym`` against ``dials.cosym`` on made-up crystals in P 1; or alone on many of them.

python tests/bench/bench_cosym.py [--crystals 50] [--reflections 2800]     CPU and wall seconds of both, ratio
python tests/bench/bench_cosym.py --growth 500 1000 2000 4000              CPU seconds, peak memory, exponent
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from generated_crystals import write

INPUT = ["integrated.expt", "integrated.refl"]


def measured(command: list[str], cwd: Path) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and peak memory (GB) of a command."""
    begin = time.perf_counter()
    with (cwd / "out.txt").open("w") as out:
        child = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}\n{(cwd / 'out.txt').read_text()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin, usage.ru_maxrss / 1024**2


def against_dials(folder: Path, n: int, reflections: int, repeat: int) -> None:
    write(folder, n, reflections=reflections, wedge=10.0)
    ours = [measured(["mxdask", "cosym", *INPUT], folder) for _ in range(repeat + 1)][1:]  # the first fills caches
    theirs = measured(["dials.cosym", *INPUT, "output.html=None"], folder)
    cpu, wall = min(r[0] for r in ours), min(r[1] for r in ours)
    print(f"mxdask {cpu:.2f} s CPU {wall:.2f} s wall   DIALS {theirs[0]:.2f} s CPU {theirs[1]:.2f} s wall")
    print(f"ratio of CPU {theirs[0] / cpu:.1f}, of wall {theirs[1] / wall:.1f}")


def growth(folder: Path, numbers: list[int], reflections: int) -> None:
    used = []
    for n in numbers:
        write(folder, n, reflections=reflections, wedge=10.0)
        cpu, wall, memory = measured(["mxdask", "cosym", *INPUT], folder)
        used.append(cpu)
        print(f"{n} crystals: {cpu:.1f} s CPU, {wall:.1f} s wall, peak {memory:.2f} GB")
    if len(numbers) > 1:
        print(f"CPU time grows as N^{np.polyfit(np.log(numbers), np.log(used), 1)[0]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", type=int, default=50)
    parser.add_argument("--reflections", type=int)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--growth", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if arguments.growth:
            growth(Path(name), arguments.growth, arguments.reflections or 5000)
        else:
            against_dials(Path(name), arguments.crystals, arguments.reflections or 2800, arguments.repeat)


if __name__ == "__main__":
    main()
