"""``mxdask refine`` against ``dials.refine`` on the same indexed files; or alone on many made-up sweeps.

python tests/bench/bench_refine.py indexed.expt indexed.refl [--repeat N]     CPU and wall seconds of both, ratio
python tests/bench/bench_refine.py --sweeps 100 1000                          seconds per crystal, peak memory
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))


def timed(command: list[str], cwd: str) -> tuple[float, float]:
    """(CPU, wall) seconds of a command and its children."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=dict(os.environ), capture_output=True, text=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def against_dials(files: list[str], repeat: int) -> None:
    files = [str(Path(f).resolve()) for f in files]
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for i in range(repeat + 1):  # the first one fills numba's cache
            runs.append(timed(["mxdask", "refine", *files, "--output-dir", f"run{i}"], folder))
        cpu, wall = min(runs[1:])
        their_cpu, their_wall = timed(["dials.refine", *files], folder)
    print(f"mxdask {cpu:.2f} s CPU {wall:.2f} s wall   DIALS {their_cpu:.2f} s CPU {their_wall:.2f} s wall")
    print(f"ratio of CPU {their_cpu / cpu:.1f}")


def many(n: int) -> None:
    """Refine n wedges of 5° that share a misplaced detector."""
    from synthetic_sweeps import TRICLINIC, a_crystal, a_detector, a_sweep, disturbed, spots

    from mxdask.flow import Flow
    from mxdask.modelfit.detector import DetectorParameters
    from mxdask.models import ExperimentList
    from mxdask.params import parse
    from mxdask.refine.params import Params
    from mxdask.refine.step import run
    from mxdask.table import ReflectionTable

    first = a_sweep("first", a_crystal(0), detector=a_detector())
    wrong = DetectorParameters.of(first.detector, first.beam).model(np.array([0.2, 0.1, -0.1, 0.5, 1.0, -1.0]))
    sweeps, tables = [], []
    for i in range(n):
        own = {"beam": first.beam, "detector": first.detector, "n_images": 50}
        sweep = a_sweep(f"s{i:04d}", a_crystal(i, TRICLINIC), **own)
        tables.append(spots(sweep, 250, row=i, seed=i, noise=0.2))
        sweeps.append(replace(sweep, detector=wrong, crystal=disturbed(sweep.crystal, i, cell=0.001, mrad=0.5)))
    cpu, wall = time.process_time(), time.perf_counter()
    with Flow("threads") as flow:
        run(ExperimentList(sweeps), ReflectionTable.concat(tables), parse(Params, []), flow=flow)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{n} sweeps: {cpu:.1f} s CPU, {1e3 * cpu / n:.0f} ms each, {wall:.1f} s wall, peak {peak:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sweeps", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.files:
        against_dials(arguments.files, arguments.repeat)
    for n in arguments.sweeps:
        many(n)


if __name__ == "__main__":
    main()
