"""Compiled kernels where nothing can be cached."""

from __future__ import annotations

import logging

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
