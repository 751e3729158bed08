"""Programs that judge scaled data against those of DIALS on the same files; or ΔCC½ of many made-up crystals.

python tests/bench/bench_statistics.py scaled.expt scaled.refl [--repeat N]   CPU and wall seconds of both, ratios
python tests/bench/bench_statistics.py --crystals 1000 --reflections 5000     seconds and peak memory of ΔCC½
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

# Ours, theirs; None where DIALS has no such program.
PROGRAMS = {
    "compute_delta_cchalf": "dials.compute_delta_cchalf",
    "compute_delta_cchalf mode=image_group": "dials.compute_delta_cchalf mode=image_group",
    "estimate_resolution": "dials.estimate_resolution",
    "merging_statistics": None,
    "damage_analysis": "dials.damage_analysis",
    "wilson": None,
    "twinning": None,
    "merge": "dials.merge",
}


def timed(command: list[str], cwd: str) -> tuple[float, float]:
    """(CPU, wall) seconds of a command and its children."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=dict(os.environ), capture_output=True, text=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    # dials.estimate_resolution ends with exit code 1 when all is well.
    if done.returncode and not command[0].startswith("dials."):
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def against_dials(files: list[str], repeat: int) -> None:
    files = [str(Path(f).resolve()) for f in files]
    with tempfile.TemporaryDirectory() as folder:
        for ours, theirs in PROGRAMS.items():
            name, *options = ours.split()
            mine = ["mxdask", name, *files, *options, "--output-dir", folder]
            cpu, wall = min(timed(mine, folder) for _ in range(repeat))
            line = f"{ours:40s} {cpu:6.2f} s CPU {wall:6.2f} s wall"
            if theirs is not None:
                program, *options = theirs.split()
                their_cpu, their_wall = min(timed([program, *files, *options], folder) for _ in range(repeat))
                line += f"   DIALS {their_cpu:6.2f} s CPU {their_wall:6.2f} s wall   ratio of CPU {their_cpu / cpu:.1f}"
            print(line, flush=True)


def many(n_crystals: int, n_reflections: int) -> None:
    """ΔCC½ of crystals that each saw a random part of 30,000 unique reflections, one in fifty of them bad."""
    from mxdask.intensity.delta_cchalf import leave_one_out, removal_cutoff

    rng = np.random.default_rng(0)
    n_unique = 30_000
    n = n_crystals * n_reflections
    crystal = np.repeat(np.arange(n_crystals), n_reflections)
    hkl = rng.integers(0, n_unique, n)
    s = rng.uniform(0.001, 0.3, n_unique)
    intensity = rng.exponential(1000.0, n_unique)[hkl] + rng.normal(0, 300.0, n)
    bad = crystal % 50 == 7
    intensity[bad] = rng.exponential(1000.0, int(bad.sum()))
    begin, cpu = time.perf_counter(), time.process_time()
    found = leave_one_out(hkl, crystal, intensity, s[hkl], n_crystals)
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    removed = np.flatnonzero(found.delta < removal_cutoff(found.delta, robust=True).value)
    missed, wrong = int((np.arange(n_crystals) % 50 == 7).sum()) - (removed % 50 == 7).sum(), (removed % 50 != 7).sum()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n_crystals} crystals x {n_reflections} reflections: {cpu:.2f} s CPU, {wall:.2f} s wall, peak {memory:.0f} MB"
    )
    print(f"bad crystals missed {missed}, good ones removed {wrong}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--crystals", type=int)
    parser.add_argument("--reflections", type=int, default=5000)
    arguments = parser.parse_args()
    if arguments.crystals:
        many(arguments.crystals, arguments.reflections)
    else:
        against_dials(arguments.files, arguments.repeat)


if __name__ == "__main__":
    main()
