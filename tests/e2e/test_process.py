"""Images to merged intensities: right, the same everywhere, resumable, and patient with bad input."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest

from mxdask.cli import main
from mxdask.flow import Flow
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.params import parse
from mxdask.pipeline import process
from mxdask.pipeline_params import Params
from mxdask.rundir import RunDirectory
from mxdask.simulate.compare import crystals_against_truth, merged_against_truth
from mxdask.simulate.step import MadeSet

pytestmark = pytest.mark.slow
TABLES = ("strong.refl", "indexed.refl", "refined.refl", "integrated.refl", "symmetrized.refl", "scaled.refl")


def run(folder: Path, masters: Any, *words: str, flow: Flow | None = None) -> dict[str, dict[str, Any]]:
    params = parse(Params, words)
    assert isinstance(params, Params)
    directory = RunDirectory(folder)
    if flow is not None:
        return process(masters, params, directory, flow)
    with Flow("threads", n_workers=2, run_dir=folder) as own:
        return process(masters, params, directory, own)


@pytest.fixture(scope="module")
def reference(small_set: MadeSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run all others are held against: two threads, default blocks."""
    folder = tmp_path_factory.mktemp("reference")
    run(folder, small_set.masters)
    return folder


def equal_tables(one: Path, two: Path) -> None:
    """Same rows in the same order; integer columns to the bit, floating point to rounding."""
    for name in TABLES:
        a, b = read_refl(one / name), read_refl(two / name)
        assert set(a) == set(b), name
        for column in a:
            if a[column].dtype.kind in "iub":
                np.testing.assert_array_equal(a[column], b[column], err_msg=f"{name} {column}")
            else:
                np.testing.assert_allclose(a[column], b[column], rtol=1e-9, atol=1e-9, err_msg=f"{name} {column}")


def test_the_crystals_and_their_intensities_are_right(reference: Path, small_set: MadeSet) -> None:
    crystals = crystals_against_truth(read_expt(reference / "refined.expt"), small_set.truth)
    assert [c.name for c in crystals] == ["small_c01", "small_c02", "small_c04"]
    for c in crystals:
        assert c.lattice_found
        assert c.cell_error < 0.003
    merged = merged_against_truth(reference / "merged.mtz", small_set.truth)
    assert merged.cc > 0.99
    assert merged.mean_shell_cc > 0.9
    assert gemmi.read_mtz_file(str(reference / "merged.mtz")).spacegroup.point_group_hm() == "23"


def test_the_blank_sweep_is_a_row_with_its_reason(reference: Path) -> None:
    rows = {r["sweep"]: r for r in json.loads((reference / "index.json").read_text())["rows"]}
    assert rows["small_c03"]["status"] == "failed"
    assert "spots" in rows["small_c03"]["reason"]
    assert "small_c03" in (reference / "report.html").read_text()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as value:
        yield value


@pytest.mark.parametrize("blocks", [5, 7, 50])
def test_same_answer_for_any_blocks(small_set: MadeSet, reference: Path, tmp_path: Path, blocks: int) -> None:
    run(tmp_path, small_set.masters, f"find_spots.block_size={blocks}", f"integrate.block.size={blocks}")
    equal_tables(tmp_path, reference)


@pytest.mark.parametrize("scheduler", ["sync", "processes"])
def test_same_answer_on_any_local_scheduler(
    small_set: MadeSet, reference: Path, tmp_path: Path, scheduler: str
) -> None:
    with Flow(scheduler, n_workers=2, run_dir=tmp_path) as flow:
        run(tmp_path, small_set.masters, flow=flow)
    equal_tables(tmp_path, reference)


def test_same_answer_on_a_cluster(small_set: MadeSet, reference: Path, tmp_path: Path, cluster: Any) -> None:
    words = ["process", *map(str, small_set.masters), "--scheduler", cluster.scheduler_address]
    assert main([*words, "--output-dir", str(tmp_path)]) == 0
    equal_tables(tmp_path, reference)


def test_a_killed_worker_costs_nothing_but_time(
    small_set: MadeSet, reference: Path, tmp_path: Path, cluster: Any
) -> None:
    import threading

    def kill() -> None:
        deadline = time.time() + 120
        while not (tmp_path / "imported.expt").exists() and time.time() < deadline:
            time.sleep(0.02)
        for _ in range(2):
            time.sleep(0.7)
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with Flow(cluster.scheduler_address, run_dir=tmp_path) as flow:
        run(tmp_path, small_set.masters, flow=flow)
    killer.join()
    equal_tables(tmp_path, reference)


def test_a_rerun_does_only_what_changed(small_set: MadeSet, tmp_path: Path) -> None:
    run(tmp_path, small_set.masters)
    times = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir() if p.suffix in (".expt", ".refl", ".mtz")}
    run(tmp_path, small_set.masters)
    assert times == {name: (tmp_path / name).stat().st_mtime_ns for name in times}
    run(tmp_path, small_set.masters, "scale.outlier_zmax=5")
    for name, stamp in times.items():
        redone = name.startswith(("scaled", "merged"))
        assert ((tmp_path / name).stat().st_mtime_ns != stamp) == redone, name


def test_an_interrupted_run_goes_on(small_set: MadeSet, reference: Path, tmp_path: Path) -> None:
    """What a killed laptop leaves: some steps done, one step's tasks partly, a torn temporary file."""
    run(tmp_path, small_set.masters)
    for name in ("integrated.refl", "integrated.expt", "integrate.json", "scaled.refl", "merged.mtz"):
        (tmp_path / name).unlink()
    for kept in sorted((tmp_path / ".mxdask" / "tasks").rglob("*.pkl"))[::2]:
        kept.unlink()
    (tmp_path / ".integrated.refl.abc.tmp").write_bytes(b"half")
    run(tmp_path, small_set.masters)
    equal_tables(tmp_path, reference)


def masters(folder: Path) -> list[str]:
    return [str(p) for p in sorted(folder.glob("*.nxs"))]


def finished(folder: Path) -> list[str]:
    return [e.name for e in read_expt(folder / "scaled.expt")]


def test_a_truncated_data_file_is_named_and_the_others_finish(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = images / "small_c02_000001.h5"
    data.write_bytes(data.read_bytes()[:100_000])
    assert main(["process", *masters(images), "--output-dir", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert "small_c02_000001.h5" in error
    assert "Traceback" not in error
    assert finished(tmp_path / "run") == ["small_c01", "small_c04"]


def test_a_missing_data_file_is_named_and_the_others_finish(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "small_c04_000001.h5").unlink()
    assert main(["process", *masters(images), "--output-dir", str(tmp_path / "run")]) == 1
    assert "small_c04_000001.h5" in capsys.readouterr().err
    assert finished(tmp_path / "run") == ["small_c01", "small_c02"]


def test_a_mask_of_another_detector_is_refused(
    small_set: MadeSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "wrong.npz", np.ones((10, 20), dtype=bool))
    words = ["process", *map(str, small_set.masters), f"lookup.mask={tmp_path / 'wrong.npz'}"]
    assert main([*words, "--output-dir", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert "wrong.npz" in error
    assert "(10, 20)" in error


def test_an_unknown_parameter_is_refused_before_anything_runs(
    small_set: MadeSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["process", *map(str, small_set.masters), "unit_sell=1", "--output-dir", str(tmp_path / "run")]) == 2
    assert "did you mean unit_cell" in capsys.readouterr().err
    assert not (tmp_path / "run" / "imported.expt").exists()
