"""Speed of spot finding beside the real DIALS, on the same files in the same run. Prints ratios, asserts nothing.

    python tests/bench/bench_find_spots.py [DATA SET FOLDER...]     default: lyso40_1m ins6_1m l_cysteine

CPU seconds are those of the whole command, start-up included; the kernel row is the threshold alone, frames in memory.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hdf5plugin
import numpy as np

from mxdask.images import open_stack
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.spots.images import make_thresholds
from mxdask.spots.params import Params
from mxdask.text import text_table

DATA = Path(os.environ.get("MXDASK_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of a command; its output is shown only if it fails."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment = kept | {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH, "OMP_NUM_THREADS": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:4])}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Run by DIALS' own Python: its kernel on the same frames and mask, converted beforehand.
THEIR_KERNEL = """
import sys, time, dxtbx, numpy as np
from dials.algorithms.image.threshold import DispersionExtendedThreshold
from dials.array_family import flex
data = np.load(sys.argv[1])
low, high = data["trusted"]
images = [flex.double(f.astype(float)) for f in data["frames"]]
masks = [flex.bool(data["mask"] & (f >= low) & (f <= high)) for f in data["frames"]]
result = flex.bool(flex.grid(data["mask"].shape))
find = DispersionExtendedThreshold(data["mask"].shape, (3, 3), 6.0, 3.0, 0.0, 2)
best = np.inf
for _ in range(3):
    start = time.process_time()
    for image, mask in zip(images, masks):
        find(image, mask, result)
    best = min(best, time.process_time() - start)
print(data["frames"].size / best / 1e6)
"""


def kernel_speed(expt: Path, folder: Path, n_frames: int = 10, repeats: int = 5) -> tuple[float, float]:
    """Mpx per CPU second of the default threshold on frames of the first sweep: DIALS' kernel and mxdask's."""
    experiment = read_expt(expt)[0]
    stack = open_stack(experiment)
    (threshold,) = make_thresholds(stack, experiment, Params())
    with stack.reader() as reader:
        frames = [reader.read(z)[0].copy() for z in range(stack.array_range[0], stack.array_range[0] + n_frames)]
    threshold.find(frames[0])
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        for frame in frames:
            threshold.find(frame)
        best = min(best, time.process_time() - start)
    trusted = np.array(experiment.detector[0].trusted_range)
    np.savez(folder / "frames.npz", frames=np.array(frames), mask=stack.mask()[0], trusted=trusted)
    theirs = subprocess.run(
        ["/usr/bin/python3", "-c", THEIR_KERNEL, str(folder / "frames.npz")], capture_output=True, text=True, check=True
    )
    return float(theirs.stdout.split()[-1]), n_frames * frames[0].size / best / 1e6


def compare(data: Path) -> list[object]:
    """One row of the table; the kernels are compiled by a first run that is not counted."""
    files = sorted(str(f) for f in (*data.glob("*.nxs"), *data.glob("*.cbf.gz")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed(["dials.import", *files], folder)
        theirs = timed(["dials.find_spots", "imported.expt", "nproc=2", "output.reflections=theirs.refl"], folder)
        command = [sys.executable, "-m", "mxdask", "find_spots", "imported.expt", "masked_pixels_dispersed=false"]
        timed(command, folder)
        ours = min(timed(command, folder) for _ in range(3))
        a, b = read_refl(folder / "theirs.refl"), read_refl(folder / "strong.refl")
        same = len(a) == len(b) and bool(np.array_equal(a["bbox"], b["bbox"]))
        kernels = kernel_speed(folder / "imported.expt", folder)
    return [
        data.name, len(a), "yes" if same else "NO", f"{theirs[0]:.1f}", f"{ours[0]:.1f}", f"{theirs[0] / ours[0]:.1f}",
        f"{theirs[1]:.1f}", f"{ours[1]:.1f}", f"{theirs[1] / ours[1]:.1f}", f"{kernels[0]:.1f}", f"{kernels[1]:.0f}",
        f"{kernels[1] / kernels[0]:.1f}",
    ]  # fmt: skip


def main(names: list[str]) -> None:
    """Run and print."""
    header = [
        "data",
        "spots",
        "same",
        "DIALS wall",
        "mxdask wall",
        "ratio",
        "DIALS CPU",
        "mxdask CPU",
        "ratio",
        "DIALS kernel Mpx/s",
        "mxdask kernel Mpx/s",
        "ratio",
    ]
    rows = [compare(DATA / name) for name in names or ["lyso40_1m", "ins6_1m", "l_cysteine"]]
    print(text_table(header, rows, title="find_spots, whole command (s), and its threshold kernel"))


if __name__ == "__main__":
    main(sys.argv[1:])
