"""Speed and memory of integration beside the real DIALS, from the same refined models in the same run.

    python tests/bench/bench_integrate.py FOLDER...

Every folder holds refined.expt and refined.refl. Prints ratios, asserts nothing. Every figure is the least of several
runs. "per further reflection" is the difference in CPU seconds between all reflections and those of low resolution,
over the difference in their number, so start-up and decoding drop out. "decoding" is the CPU time of reading every
frame once, as part of our whole command's. DIALS runs with nproc=2, mxdask with its defaults. Memory is that of the
process started (of DIALS' workers the largest counts).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import hdf5plugin
import numpy as np

from mxdask.images import open_stack
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl

MEMORY = """
import os, resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("COST", used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(code)
"""


@dataclass(frozen=True)
class Cost:
    """Of one command: wall and CPU seconds (children included), MB of its largest process, reflections written."""

    wall: float
    cpu: float
    memory: float
    reflections: int


def cost(command: list[str], folder: Path) -> Cost:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment = kept | {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH, "OMP_NUM_THREADS": "1"}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    wall = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:3])}\n{(done.stdout + done.stderr)[-2000:]}")
    cpu, memory = (float(v) for v in done.stdout.rsplit("COST", 1)[1].split())
    return Cost(wall, cpu, memory, len(read_refl(folder / "integrated.refl")))


def least(command: list[str], folder: Path, repeats: int) -> Cost:
    """The least of each figure."""
    runs = [cost(command, folder) for _ in range(repeats)]
    best = [min(getattr(r, name) for r in runs) for name in ("wall", "cpu", "memory")]
    return Cost(*best, runs[0].reflections)


def decoding(refined: Path) -> float:
    """CPU seconds of reading every frame once on one core."""
    start = time.process_time()
    for experiment in read_expt(refined):
        stack = open_stack(experiment)
        with stack.reader() as reader:
            for z in range(*stack.array_range):
                reader.read(z)
    return time.process_time() - start


def row(folder: Path, scratch: Path, repeats: int) -> list[object]:
    files = [str((folder / name).resolve()) for name in ("refined.expt", "refined.refl")]
    spots = read_refl(files[1])
    low = float(np.quantile(spots["d"], 0.7)) if "d" in spots else 3.0
    part = [f"prediction.d_min={low:.2f}"]
    ours, theirs = [sys.executable, "-m", "mxdask", "integrate", *files], ["dials.integrate", *files, "nproc=2"]
    a, a_part = least(ours, scratch / "ours", repeats), least([*ours, *part], scratch / "ours", repeats)
    b, b_part = least(theirs, scratch / "dials", repeats), least([*theirs, *part], scratch / "dials", repeats)
    per = [(x.cpu - y.cpu) / max(1, x.reflections - y.reflections) for x, y in ((a, a_part), (b, b_part))]
    return [
        folder.name, a.reflections, a.cpu, b.cpu, b.cpu / a.cpu, a.wall, b.wall, a.memory, b.memory,
        a.memory / b.memory, per[0] * 1e6, per[1] * 1e6, per[1] / per[0], 1 / per[0],
        decoding(Path(files[0])) / a.cpu,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    words = parser.parse_args()
    header = ["set", "reflections", "CPU s", "DIALS", "ratio", "wall s", "DIALS", "MB", "DIALS", "part",
              "µs per further reflection", "DIALS", "ratio", "reflections/s per core", "decoding"]  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row(folder, Path(scratch), words.repeats) for folder in words.folders]
    for name, *values in zip(header, *rows, strict=True):
        shown = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        print("  ".join([name.ljust(28), *(word.rjust(12) for word in shown)]))


if __name__ == "__main__":
    main()
