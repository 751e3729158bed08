"""Speed of spot finding beside the real DIALS, on the same files in the same run. Prints ratios, asserts nothing.

    python tests/bench/bench_find_spots.py [FILES, FOLDERS OR imported.expt ...]   default: lyso40_1m ins6_1m l_cysteine

Every folder or .expt is one row, loose image files together are one. Every figure is the least of several runs. "cost
per frame" is the difference in CPU seconds between the whole scan and its first quarter, so start-up drops out; the
kernel rows are the thresholds alone, frames in memory, on one core. DIALS runs with nproc=2, mxdask with its defaults.
"""

from __future__ import annotations

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
from mxdask.models import ExperimentList
from mxdask.spots.images import make_thresholds
from mxdask.spots.params import Params
from mxdask.text import text_table

DATA = Path(os.environ.get("MXDASK_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
KERNEL_FRAMES, REPEATS = 10, 3


@dataclass(frozen=True)
class Cost:
    """Of a command: wall and CPU seconds, and the most memory (MB) its first process held."""

    wall: float
    cpu: float
    memory: float


def cost(command: list[str], folder: Path) -> Cost:
    """Run a command; its output is shown only if it fails."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment = kept | {"HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH, "OMP_NUM_THREADS": "1"}
    log = folder / "command.out"
    shutil.rmtree(folder / "ours", ignore_errors=True)  # a second run there would take up the results of the first
    start = time.perf_counter()
    with open(log, "w") as out:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command[:4])}\n{log.read_text()[-2000:]}")
    return Cost(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def least(command: list[str], folder: Path, repeats: int) -> Cost:
    """The least of each figure."""
    runs = [cost(command, folder) for _ in range(repeats)]
    return Cost(min(r.wall for r in runs), min(r.cpu for r in runs), min(r.memory for r in runs))


# Run by DIALS' own Python: its kernels on the same frames and mask, converted beforehand.
THEIR_KERNEL = """
import sys, time, numpy as np
from dials.algorithms.image.threshold import DispersionExtendedThreshold, DispersionThreshold
from dials.array_family import flex
data = np.load(sys.argv[1])
low, high = data["trusted"]
images = [flex.double(f.astype(float)) for f in data["frames"]]
masks = [flex.bool(data["mask"] & (f >= low) & (f <= high)) for f in data["frames"]]
result = flex.bool(flex.grid(data["mask"].shape))
for kind in (DispersionThreshold, DispersionExtendedThreshold):
    find, best, number = kind(data["mask"].shape, (3, 3), 6.0, 3.0, 0.0, 2), np.inf, []
    for _ in range(3):
        start = time.process_time()
        for image, mask in zip(images, masks):
            find(image, mask, result)
        best = min(best, time.process_time() - start)
    for image, mask in zip(images, masks):
        find(image, mask, result)
        number.append(result.count(True))
    print(data["frames"].size / best / 1e6, *number)
"""


@dataclass(frozen=True)
class Kernel:
    """Mpx per CPU second of one threshold, in DIALS and here; ``same`` if it finds as many pixels on every frame."""

    name: str
    theirs: float
    ours: float
    same: bool


def kernels(experiments: ExperimentList, folder: Path) -> list[Kernel]:
    """*dispersion* and *dispersion_extended* on the first frames of the first sweep."""
    experiment = experiments[0]
    stack = open_stack(experiment)
    first, end = stack.array_range
    with stack.reader() as reader:
        frames = [reader.read(z)[0].copy() for z in range(first, min(first + KERNEL_FRAMES, end))]
    assert experiment.detector is not None
    trusted = np.array(experiment.detector[0].trusted_range)
    np.savez(folder / "frames.npz", frames=np.array(frames), mask=stack.mask()[0], trusted=trusted)
    theirs = subprocess.run(
        ["/usr/bin/python3", "-c", THEIR_KERNEL, str(folder / "frames.npz")], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = []
    for name, line in zip(("dispersion", "dispersion_extended"), theirs[-2:], strict=True):
        threshold = make_thresholds(stack, experiment, Params.model_validate({"threshold": {"algorithm": name}}))[0]
        numbers = [len(threshold.find(frame).index) for frame in frames]
        best = np.inf
        for _ in range(4 * REPEATS):
            start = time.process_time()
            for frame in frames:
                threshold.find(frame)
            best = min(best, time.process_time() - start)
        speed, *expected = line.split()
        ours = len(frames) * frames[0].size / best / 1e6
        found.append(Kernel(name, float(speed), ours, numbers == [int(n) for n in expected]))
    return found


def compare(name: str, files: list[str]) -> None:
    """Run both programs on one data set and print what they cost."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        expt = files[0] if files[0].endswith(".expt") else "imported.expt"
        if expt == "imported.expt":
            cost(["dials.import", *files], folder)
        experiments = read_expt(folder / expt)
        scans = [e.scan for e in experiments if e.scan is not None]
        if not scans:
            sys.exit(f"{name}: no sweeps")
        n_images = sum(scan.n_images for scan in scans)
        first = min(scan.image_range[0] for scan in scans)
        part = f"scan_range={first},{first + max(scans[0].n_images // 4, 1) - 1}"
        n_part = sum(max(scans[0].n_images // 4, 1) for _ in scans)
        dials = ["dials.find_spots", expt, "nproc=2", "output.reflections=theirs.refl"]
        mxdask = [sys.executable, "-m", "mxdask", "find_spots", expt, "--output-dir", "ours"]
        ours, ours_part = least(mxdask, folder, REPEATS), least([*mxdask, part], folder, REPEATS)
        theirs, theirs_part = least(dials, folder, 2), least([*dials, part], folder, 2)
        cost(dials, folder)
        cost(mxdask, folder)
        a, b = read_refl(folder / "theirs.refl"), read_refl(folder / "ours" / "strong.refl")
        same = len(a) == len(b) and bool(np.array_equal(a["bbox"], b["bbox"]))
        speeds = kernels(experiments, folder)
        pixels = sum(p.image_size[0] * p.image_size[1] for p in experiments[0].detector.panels) / 1e6
    per_frame = [1e3 * (w.cpu - p.cpu) / (n_images - n_part) for w, p in ((theirs, theirs_part), (ours, ours_part))]
    rows = [
        ["whole command, wall s", theirs.wall, ours.wall, theirs.wall / ours.wall],
        ["whole command, CPU s", theirs.cpu, ours.cpu, theirs.cpu / ours.cpu],
        ["cost per frame, CPU ms", *per_frame, per_frame[0] / per_frame[1]],
        ["speed per core, Mpx/s", *(1e3 * pixels / p for p in per_frame), per_frame[0] / per_frame[1]],
        ["peak memory, MB", theirs.memory, ours.memory, theirs.memory / ours.memory],
        *([f"{k.name} alone, Mpx/s", k.theirs, k.ours, k.ours / k.theirs] for k in speeds),
    ]
    table = [[str(row[0]), *(f"{value:.4g}" for value in row[1:3]), f"{row[3]:.1f}"] for row in rows]
    state = f"spots {'the same' if same else 'NOT THE SAME'}"
    if not all(k.same for k in speeds):
        state += ", STRONG PIXELS NOT THE SAME"
    title = f"{name}: {n_images} images of {pixels:.1f} Mpx, {len(b)} spots; {state}"
    print(text_table(["", "DIALS", "mxdask", "ratio"], table, title=title), flush=True)


def data_sets(words: list[str]) -> dict[str, list[str]]:
    """Files by the name of their row."""
    sets: dict[str, list[str]] = {}
    for word in words or [str(DATA / name) for name in ("lyso40_1m", "ins6_1m", "l_cysteine")]:
        path = Path(word).resolve()
        if path.is_dir():
            sets[path.name] = sorted(str(f) for f in (*path.glob("*.nxs"), *path.glob("*.cbf*")))
        elif path.suffix == ".expt":
            sets[str(path)] = [str(path)]
        else:
            sets.setdefault("files", []).append(str(path))
    return sets


if __name__ == "__main__":
    for name, files in data_sets(sys.argv[1:]).items():
        compare(name, files)
