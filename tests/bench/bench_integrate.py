"""Speed and memory of integration beside the real DIALS, from the same refined models in the same run.

    python tests/bench/bench_integrate.py FOLDER...

Every folder holds refined.expt and refined.refl. Prints ratios, asserts nothing. Every figure is the least of several
runs. "per further reflection" is the difference in CPU seconds between all reflections and the third of lowest
resolution, over the difference in their number: both read the same frames, so start-up and decoding drop out.
"decoding" is the CPU time of reading every frame once, as part of our whole command's. DIALS runs with nproc=2, mxdask
with its defaults. Memory is the peak over all processes of a command (see process_memory.py).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path

import hdf5plugin
import numpy as np
from process_memory import Usage, watch

from mxdask.images import open_stack
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl

LOW = 1 / 3  # part of the reflections that the short runs integrate


@dataclass(frozen=True)
class Cost:
    """Of one command: the least of each figure over its runs, and d (Å) of the reflections it wrote."""

    used: Usage
    d: np.ndarray


def cost(command: list[str], folder: Path, repeats: int) -> Cost:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment = kept | {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH, "OMP_NUM_THREADS": "1"}
    runs = []
    for _ in range(repeats):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        runs.append(watch(command, folder, environment))
    least = Usage(*(min(getattr(run, f.name) for run in runs) for f in fields(Usage)))
    return Cost(least, read_refl(folder / "integrated.refl")["d"])


def decoding(refined: Path) -> float:
    """CPU seconds of reading every frame once on one core."""
    start = time.process_time()
    for experiment in read_expt(refined):
        stack = open_stack(experiment)
        with stack.reader() as reader:
            for z in range(*stack.array_range):
                reader.read(z)
    return time.process_time() - start


def row(folder: Path, scratch: Path, repeats: int, repeats_dials: int) -> dict[str, object]:
    files = [str((folder / name).resolve()) for name in ("refined.expt", "refined.refl")]
    ours, theirs = [sys.executable, "-m", "mxdask", "integrate", *files], ["dials.integrate", *files, "nproc=2"]
    a = cost(ours, scratch / "ours", repeats)
    part = f"prediction.d_min={np.quantile(a.d, 1 - LOW):.3f}"
    a_part = cost([*ours, part], scratch / "ours", repeats)
    b = cost(theirs, scratch / "dials", repeats_dials)
    b_part = cost([*theirs, part], scratch / "dials", repeats_dials)
    per = [1e6 * (x.used.cpu - y.used.cpu) / max(1, len(x.d) - len(y.d)) for x, y in ((a, a_part), (b, b_part))]
    out: dict[str, object] = {"set": folder.name, "reflections": len(a.d), "DIALS' reflections": len(b.d)}
    out |= {"of these at low resolution": len(a_part.d), "DIALS' at low resolution": len(b_part.d)}
    names = {"cpu": "CPU s", "wall": "wall s", "pss": "PSS MB", "alone": "PSS if alone MB", "largest": "largest RSS MB"}
    for field, name in names.items():
        mine, other = getattr(a.used, field), getattr(b.used, field)
        out |= {name: mine, f"DIALS' {name}": other, f"{name}, DIALS' / ours": other / mine}
    out |= {"µs per further reflection": per[0], "DIALS' µs": per[1], "ratio": per[1] / per[0]}
    return out | {"reflections/s per core": 1e6 / per[0], "decoding": decoding(Path(files[0])) / a.used.cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--repeats-dials", type=int, default=2)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [row(folder, Path(scratch), words.repeats, words.repeats_dials) for folder in words.folders]
    for name in rows[0]:
        shown = [f"{v:.3g}" if isinstance(v := r[name], float) else str(v) for r in rows]
        print("  ".join([name.ljust(34), *(word.rjust(12) for word in shown)]))


if __name__ == "__main__":
    main()
