"""``mxdask scale`` against ``dials.scale`` on the same files; or alone on many generated crystals.

python tests/bench/bench_scale.py symmetrized.expt symmetrized.refl [--repeat N]   CPU and wall seconds of both, ratio
python tests/bench/bench_scale.py --wedges 24                                      the same on generated wedges of 5°
python tests/bench/bench_scale.py --alone 1000 [--images 28]                       seconds and peak memory of ours
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path


def timed(command: list[str], cwd: str) -> tuple[float, float, float]:
    """(CPU s, wall s, peak MB) of a command and its children."""
    begin = time.perf_counter()
    with open(Path(cwd) / "said.txt", "w") as said:
        process = subprocess.Popen(command, cwd=cwd, env=dict(os.environ), stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)}\n{(Path(cwd) / 'said.txt').read_text()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024


def generated(folder: str, n: int, images: int) -> list[str]:
    """Integrated reflections of n crystals in one indexing setting (files), as after cosym."""
    import numpy as np

    from mxdask.io.expt import write_expt
    from mxdask.io.refl import write_refl
    from mxdask.simulate.crystals import true_crystal
    from mxdask.simulate.params import SimulatedSet
    from mxdask.simulate.spots import integrated
    from mxdask.simulate.structure import indexing_settings

    sim = SimulatedSet(crystals={"count": n}, sweep={"images": images})
    experiments, table = integrated(sim, known_symmetry=True)
    settings = indexing_settings(sim.structure.space_group, sim.structure.cell)
    hkl = table["miller_index"].copy()
    for i in range(n):
        own = table["id"] == i
        hkl[own] = np.rint(hkl[own] @ np.linalg.inv(np.array(settings[true_crystal(sim, i).setting]).T)).astype(int)
    table["miller_index"] = hkl
    files = [f"{folder}/generated.expt", f"{folder}/generated.refl"]
    write_expt(files[0], experiments, program="bench", flags="integrated")
    write_refl(files[1], table)
    return files


def against_dials(files: list[str], repeat: int) -> None:
    """Both programs on the same files; numba's cache is filled first."""
    files = [str(Path(f).resolve()) for f in files]
    with tempfile.TemporaryDirectory() as folder:
        runs = [timed(["mxdask", "scale", *files, "--output-dir", f"run{i}"], folder) for i in range(repeat + 1)]
        cpu, wall, memory = (min(column) for column in zip(*runs[1:], strict=True))
        print(f"mxdask {cpu:.2f} s CPU {wall:.2f} s wall {memory:.0f} MB", flush=True)
        theirs = timed(["dials.scale", *files, "nproc=2", "output.html=None"], folder)
    print(f"DIALS {theirs[0]:.2f} s CPU {theirs[1]:.2f} s wall {theirs[2]:.0f} MB")
    print(f"ratio of CPU {theirs[0] / cpu:.1f}, of wall time {theirs[1] / wall:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--wedges", type=int)
    parser.add_argument("--alone", type=int)
    parser.add_argument("--images", type=int, default=50)
    words = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if words.files:
        against_dials(words.files, words.repeat)
    with tempfile.TemporaryDirectory() as folder:
        if words.wedges:
            against_dials(generated(folder, words.wedges, words.images), words.repeat)
        if words.alone:
            files = generated(folder, words.alone, words.images)
            cpu, wall, memory = timed(["mxdask", "scale", *files, "--output-dir", "run"], folder)
            print(f"{words.alone} crystals: {cpu:.1f} s CPU {wall:.1f} s wall {memory:.0f} MB")


if __name__ == "__main__":
    main()
