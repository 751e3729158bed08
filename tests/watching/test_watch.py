"""The same answer in one go, sweep by sweep, and after kills; damaged files are rows, and are taken up when mended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxdask.flow import Flow
from mxdask.io.refl import read_refl
from mxdask.params import parse
from mxdask.watching.params import Params
from mxdask.watching.watcher import Watcher

from .conftest import NAMES, put

pytestmark = pytest.mark.slow
WORDS = ["settle=0", "calibration.sweeps=4", "until=once", "interval=0.2", "output_clusters=false"]
GOOD = [n for n in NAMES if not n.endswith("c03")]


def watcher(images: Path, out: Path, *words: str) -> Watcher:
    params = parse(Params, [*WORDS, *words])
    assert isinstance(params, Params)
    return Watcher(images, out, params, Flow("threads", n_workers=2, run_dir=out))


def answer(out: Path) -> dict[str, Any]:
    """The last line of the history without what depends on the clock and on how it came about."""
    line = (out / "history.jsonl").read_text().splitlines()[-1]
    last = json.loads(line, parse_float=lambda text: float(f"{float(text):.9g}"))
    other = ("time", "seconds", "new", "gone", "key", "n_sweeps")
    fates = sorted(map(str, last["fates"].values()))  # identifiers tell the folder
    return {k: v for k, v in last.items() if k not in other} | {"sweeps": sorted(last["sweeps"]), "fates": fates}


def assert_same(one: Path, two: Path) -> None:
    assert answer(one) == answer(two)
    for name in answer(one)["sweeps"]:
        a, b = (read_refl(out / "sweeps" / name / "integrated.refl") for out in (one, two))
        for column in ("intensity.prf.value", "intensity.prf.variance", "intensity.sum.value", "miller_index"):
            np.testing.assert_allclose(a[column], b[column], rtol=1e-9, err_msg=f"{name} {column}")


@pytest.fixture(scope="module")
def batch(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sweeps at once."""
    out = tmp_path_factory.mktemp("batch")
    watcher(made, out).run()
    return out


def test_all_good_sweeps_are_merged_and_the_blank_one_is_a_row(batch: Path) -> None:
    result = answer(batch)
    assert result["sweeps"] == GOOD
    assert result["CC_half"] > 0.9
    assert list(result["groups"].values()) == [5]
    rows = {r["name"]: r for r in json.loads((batch / "watch-data.js").read_text()[5:-3])["rows"]}
    assert rows[NAMES[2]]["state"] == "failed"
    assert "spots" in rows[NAMES[2]]["reason"]
    assert rows[NAMES[0]]["state"] == "kept"


def test_sweep_by_sweep_gives_the_batch_answer(made: Path, batch: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    w = watcher(images, out)
    untouched: dict[str, int] = {}
    for count, name in enumerate([NAMES[1], NAMES[0], *NAMES[2:]], start=1):
        put(made, images, name)
        assert w.update()
        if count == len(NAMES) - 1:  # by now the calibration is what it will be
            untouched = {n: _written(out, n) for n in w.records if w.records[n].ok}
    assert not w.update()
    assert_same(out, batch)
    assert len(w.history.lines) >= 4
    assert len(untouched) == 4
    assert {n: _written(out, n) for n in untouched} == untouched, "the last sweep made others be done again"


def _written(out: Path, name: str) -> int:
    return (out / "sweeps" / name / "integrated.refl").stat().st_mtime_ns


def test_taking_a_sweep_away_and_bringing_it_back(made: Path, batch: Path, tmp_path: Path) -> None:
    images, out = put(made, tmp_path / "images", *NAMES), tmp_path / "out"
    w = watcher(images, out)
    w.update()
    for file in images.glob(f"{NAMES[5]}*"):
        file.unlink()
    assert w.update()
    assert w.history.last is not None
    assert w.history.last["gone"] == [NAMES[5]]
    fewer = tmp_path / "fewer"
    watcher(images, fewer).update()
    assert answer(out) == answer(fewer)
    put(made, images, NAMES[5])
    w.update()
    assert_same(out, batch)


def test_a_damaged_file_is_a_row_and_is_tried_again_when_it_changes(made: Path, batch: Path, tmp_path: Path) -> None:
    images, out = put(made, tmp_path / "images", *NAMES), tmp_path / "out"
    data = images / f"{NAMES[4]}_000001.h5"
    status, content = data.stat(), data.read_bytes()
    data.write_bytes(content[: len(content) // 3])
    w = watcher(images, out)
    w.update()
    rows = {r["name"]: r for r in json.loads((out / "watch-data.js").read_text()[5:-3])["rows"]}
    assert rows[NAMES[4]]["state"] == "damaged"
    assert data.name in rows[NAMES[4]]["reason"]
    assert w.history.last is not None
    assert NAMES[4] not in w.history.last["sweeps"]
    data.write_bytes(content)
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
    w.update()
    assert_same(out, batch)


@pytest.mark.parametrize("progress", [(0, 2, 8)])
def test_killed_and_started_again(made: Path, batch: Path, tmp_path: Path, progress: tuple[int, ...]) -> None:
    """Killed when so many stages of sweeps are done, and a little later."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "mxdask", "watch", str(made), "--output-dir", str(out), "--workers", "2", *WORDS]
    for count in progress:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while len(list(out.rglob("record.json"))) < count and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert_same(out, batch)
