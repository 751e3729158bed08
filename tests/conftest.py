"""Where the data and the reference program are, and what is skipped without them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No test is about time: the machine may be busy, and the first call of a kernel compiles it.
settings.register_profile("mxdask", deadline=None)
settings.load_profile("mxdask")

DATA = Path(os.environ.get("MXDASK_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real and simulated images; it is not part of the repository."""
    if not (DATA / "README.md").exists():
        pytest.skip(f"test data not found at {DATA} (set MXDASK_TEST_DATA)")
    return DATA


@pytest.fixture(scope="session")
def dials() -> Callable[..., str]:
    """``dials("find_spots", "imported.expt", cwd=folder)`` runs the real program and gives its output."""
    if shutil.which("dials.version") is None and shutil.which("dials.import") is None:
        pytest.skip("the real DIALS is not installed (apt-get install dials)")
    import hdf5plugin

    # The plugin folder makes bitshuffle readable; the interpreter of a virtual environment must not leak into DIALS.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment["HDF5_PLUGIN_PATH"] = hdf5plugin.PLUGIN_PATH

    def run(program: str, *arguments: object, cwd: Path) -> str:
        command = [f"dials.{program}", *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    return run
