"""Compressed data can be written and read whatever ``HDF5_PLUGIN_PATH`` says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hdf5plugin

_WRITE_AND_READ = """
import h5py, numpy as np, sys
from mxdask.io.hdf5_filters import BITSHUFFLE_LZ4
before = np.arange(60_000, dtype="u2").reshape(200, 300)
with h5py.File(sys.argv[1], "w") as file:
    file.create_dataset("data", data=before, chunks=(50, 300), **BITSHUFFLE_LZ4)
with h5py.File(sys.argv[1]) as file:
    assert (file["data"][...] == before).all()
print([h5py.h5pl.get(i).decode() for i in range(h5py.h5pl.size())])
"""


def test_filters_of_the_environment_do_not_replace_ours_and_stay_available(tmp_path: Path) -> None:
    environment = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    done = subprocess.run(
        [sys.executable, "-c", _WRITE_AND_READ, str(tmp_path / "a.h5")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert hdf5plugin.PLUGIN_PATH in done.stdout
