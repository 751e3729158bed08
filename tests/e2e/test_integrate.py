"""Integration alone: to the bit the same for any blocks, workers and copy of the images, and after accidents."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxdask.cli import main
from mxdask.io.expt import read_expt
from mxdask.io.mask import write_mask
from mxdask.io.refl import read_refl
from mxdask.simulate.step import MadeSet

pytestmark = pytest.mark.slow


def mxdask(*words: object) -> int:
    return main([str(w) for w in words])


@pytest.fixture(scope="module")
def refined(small_set: MadeSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to refinement whose images were kept in Zarr stores while spots were found."""
    folder = tmp_path_factory.mktemp("refined")
    there = ("--output-dir", folder)
    assert mxdask("import", *small_set.masters, *there) == 0
    assert mxdask("find_spots", folder / "imported.expt", "zarr=true", *there) == 0
    mxdask("index", folder / "imported.expt", folder / "strong.refl", *there)  # 1: one sweep is blank
    assert mxdask("refine", folder / "indexed.expt", folder / "indexed.refl", *there) == 0
    return folder


def integrate(refined: Path, out: Path, *words: object) -> Path:
    assert mxdask("integrate", refined / "refined.expt", refined / "refined.refl", *words, "--output-dir", out) == 0
    return out / "integrated.refl"


@pytest.fixture(scope="module")
def reference(refined: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return integrate(refined, tmp_path_factory.mktemp("reference"), "images_from=images", "--scheduler", "sync")


def same(one: Path, two: Path) -> None:
    a, b = read_refl(one), read_refl(two)
    assert set(a) == set(b) and a.identifiers == b.identifiers
    for column in a:
        assert np.array_equal(a[column], b[column]), column


@pytest.mark.parametrize(
    ("scheduler", "block"), [("threads", None), ("threads", 3), ("threads", 7), ("processes", 7), ("processes", None)]
)
def test_blocks_and_schedulers(
    refined: Path, reference: Path, tmp_path: Path, scheduler: str, block: int | None
) -> None:
    words = [] if block is None else [f"block.size={block}"]
    same(integrate(refined, tmp_path, *words, "--scheduler", scheduler, "--workers", 2), reference)


def test_stores_written_while_finding_spots(
    refined: Path, reference: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capsys.readouterr()
    same(integrate(refined, refined, "images_from=zarr"), reference)
    assert "reading 3 sweeps from Zarr stores" in capsys.readouterr().out
    (refined / "small_c01.zarr/frames/c/0/0/0").rename(refined / "part")
    words = ("images_from=zarr", "d_min=3", "--output-dir", refined)
    assert mxdask("integrate", refined / "refined.expt", refined / "refined.refl", *words) == 1
    (refined / "part").rename(refined / "small_c01.zarr/frames/c/0/0/0")
    error = capsys.readouterr().err
    assert "20 images could not be read" in error and "small_c01.zarr" in error and "Traceback" not in error
    assert "a part of the store is missing" in error
    ids = read_refl(refined / "integrated.refl")["id"]
    assert set(ids) == {0, 1, 2} and np.sum(ids == 0) < np.sum(ids == 1)  # of the first one image was left
    # beside a run without stores there is nothing to read them from
    assert mxdask("integrate", refined / "refined.expt", refined / "refined.refl", *words[:2], "--output-dir", tmp_path)
    assert "small_c01 is not in converted.expt" in capsys.readouterr().err


def test_a_worker_killed_while_blocks_are_measured(refined: Path, reference: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    killed: list[int] = []

    def kill(cluster: Any) -> None:
        """One worker dies as soon as three blocks are done, their results with it."""
        deadline = time.time() + 120
        while time.time() < deadline and not killed:
            done = [t for k, t in list(cluster.scheduler.tasks.items()) if "block" in str(k) and t.state == "memory"]
            if len(done) >= 3:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.005)

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        killer = threading.Thread(target=kill, args=(cluster,))
        killer.start()
        found = integrate(refined, tmp_path, "block.size=3", "--scheduler", cluster.scheduler_address)
        killer.join()
    assert killed
    same(found, reference)


def test_a_rerun_goes_on(refined: Path, reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Finished crystals are kept: the images of one are gone, and of the other the result."""
    out = integrate(refined, tmp_path)
    same(out, reference)
    kept = sorted((tmp_path / ".mxdask/tasks/integrate").glob("*.pkl"))
    assert len(kept) == 3
    kept[0].unlink()
    out.unlink()
    times = {path: path.stat().st_mtime_ns for path in kept[1:]}
    same(integrate(refined, tmp_path), reference)
    assert {path: path.stat().st_mtime_ns for path in kept[1:]} == times and kept[0].exists()


@pytest.mark.parametrize("wrong", ["mask", "images", "longer"])
def test_a_bad_sweep_is_one_line_and_the_others_go_on(
    refined: Path, tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((refined / "refined.expt").read_text())
    second = content["experiment"][1]
    if wrong == "mask":
        write_mask(tmp_path / "mask.npz", [np.ones((10, 12), dtype=bool)])
        content["imageset"][second["imageset"]]["mask"] = str(tmp_path / "mask.npz")
    elif wrong == "images":
        content["imageset"][second["imageset"]]["template"] = str(tmp_path / "gone.nxs")
    else:
        content["scan"][second["scan"]]["image_range"] = [1, 60]
    (tmp_path / "wrong.expt").write_text(json.dumps(content))
    capsys.readouterr()
    words = ("d_min=3", "images_from=images", "--output-dir", tmp_path / "out")
    assert mxdask("integrate", tmp_path / "wrong.expt", refined / "refined.refl", *words) == 1
    error = capsys.readouterr().err
    named = {"mask": "mask.npz: mask has 1 panel of (10, 12)", "images": "gone.nxs", "longer": "small_c02"}
    assert named[wrong] in error and "the other crystals are done" in error and "Traceback" not in error
    kept = {e.name for e in read_expt(tmp_path / "out/integrated.expt")}
    assert {"small_c01", "small_c04"} <= kept
