"""Compiled kernels where nothing can be cached."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import caching

from mxdask import _jit


def test_kernels_work_where_no_cache_can_be_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    _jit._tell_once.cache_clear()
    logging.getLogger("mxdask").propagate = True

    @_jit.jit()
    def twice(x: float) -> float:
        return 2.0 * x

    @_jit.jit
    def half(x: float) -> float:
        return 0.5 * x

    assert twice(4.0) == 8.0
    assert half(4.0) == 2.0
    assert "NUMBA_CACHE_DIR" in caplog.text


def test_kernels_never_start_threads() -> None:
    with pytest.raises(ValueError, match="never use parallel"):
        _jit.jit(parallel=True)


_SCALE_FACTORS = """
import hashlib
import numpy as np
from mxdask.scale.target_kernels import derivatives, scale_factors

rng = np.random.default_rng(1)
n, w, k, p = 1000, 3, 24, rng.uniform(0.5, 2.0, 60)
first, weight = rng.integers(0, 20, n), rng.random((n, w))
args = (p, first, weight, first + 5, weight, rng.random(n), first + 9, rng.normal(0, 0.02, (n, k)))
g, out = np.zeros(n), np.zeros((n, w + 3 + k))
scale_factors(*args, g)
derivatives(*args, g, out)
print(hashlib.sha256(g.tobytes() + out.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_other_processors_give_the_same_bits(tmp_path: Path) -> None:
    """Code compiled for any x86-64 (no AVX, no fused multiply-add) and for this processor: a cluster may have both."""
    said = set()
    for cpu in ("generic", None):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / str(cpu))}
        if cpu is not None:
            environment |= {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}
        command = [sys.executable, "-c", _SCALE_FACTORS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        said.add(done.stdout)
    assert len(said) == 1
