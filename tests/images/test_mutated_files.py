"""Broken input never hangs, crashes or shows a traceback: it is read, or one line names the file and the cause."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutations import Case, make_cases

DATA = Path(os.environ.get("MXDASK_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
RUNNER = Path(__file__).parents[1] / "mutation_runner.py"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    real = DATA / "l_cysteine" / "l-cyst_01_00001.cbf.gz"
    full = gzip.decompress(real.read_bytes()) if real.exists() else None
    return make_cases(tmp_path_factory.mktemp("mutated"), full)


def test_every_mutated_file_is_read_or_named(cases: list[Case], tmp_path: Path) -> None:
    assert len(cases) >= 200
    todo = {case.name: case for case in cases}
    assert len(todo) == len(cases)
    faults: list[str] = []
    said: dict[str, list[str]] = {}
    while todo:  # a process that dies takes one case with it
        (tmp_path / "cases.json").write_text(json.dumps([vars(case) for case in todo.values()]))
        done = subprocess.run(
            [sys.executable, str(RUNNER), str(tmp_path / "cases.json")], capture_output=True, text=True, timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        begun = None
        for line in done.stdout.splitlines():
            event = json.loads(line)
            if "begin" in event:
                begun = event["begin"]
                continue
            begun = None
            todo.pop(event["end"])
            if "defect" in event:
                faults.append(f"{event['end']}: {event['defect']}")
            said[event["end"]] = event.get("said", [])
        if begun is not None:
            todo.pop(begun)
            faults.append(f"{begun}: the process ended with code {done.returncode}\n{done.stderr[-2000:]}")
        elif todo:
            raise AssertionError(f"the runner does not start: {done.stderr[-2000:]}")
    for case in cases:
        for line in said.get(case.name, []):
            if "\n" in line or len(line) > 1000 or "internal error" in line:
                faults.append(f"{case.name}: not one clear line: {line}")
            elif not any(part in line for part in (*case.files, case.name)):
                faults.append(f"{case.name}: does not name the file: {line}")
    assert not faults, f"{len(faults)} of {len(cases)}:\n" + "\n".join(faults)
    complained = sum(bool(lines) for lines in said.values())
    assert complained > 0.6 * len(cases)
