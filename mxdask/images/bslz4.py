"""Unpack bitshuffle-LZ4 chunks with the library that hdf5plugin ships, outside HDF5's lock.

ctypes releases the GIL during the call and the library is built without OpenMP, so several threads decode at the
same time; through h5py they would wait for each other (ecosystem.md A1).
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mxdask.errors import FileError
from mxdask.images.bslz4_kernels import blocks_fit
from mxdask.io.hdf5_filters import FILTERS_FOLDER

HEADER_BYTES = 12


@functools.cache
def _decompress() -> Callable[..., int] | None:
    """``bshuf_decompress_lz4(in, out, n_elements, item_size, block_elements) -> bytes read``; None if not found."""
    for library in sorted(Path(FILTERS_FOLDER).glob("libh5bshuf.*")):
        try:
            function = ctypes.CDLL(str(library)).bshuf_decompress_lz4
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_int64
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_size_t] * 3
        return function
    return None


def is_available() -> bool:
    return _decompress() is not None


def unpack(chunk: np.ndarray, out: np.ndarray) -> None:
    """Unpack one chunk into ``out``.

    Parameters
    ----------
    chunk : (n,) uint8, as stored: 8 bytes size and 4 bytes block size (bytes), both big endian, then the blocks.
    out : C-contiguous array of the chunk's shape and dtype, overwritten.

    Raises
    ------
    FileError : the chunk is damaged (the caller adds file and frame).
    """
    function = _decompress()
    if function is None:
        raise FileError("hdf5plugin's bitshuffle library cannot be loaded; reinstall hdf5plugin")
    if chunk.size < HEADER_BYTES:
        raise FileError("chunk shorter than its header")
    size = int.from_bytes(chunk[:8].tobytes(), "big")
    block = int.from_bytes(chunk[8:12].tobytes(), "big") // out.itemsize
    if size != out.nbytes or block == 0 or block % 8:
        raise FileError(f"chunk header says {size} bytes in blocks of {block} pixels, the frame has {out.nbytes} bytes")
    if not blocks_fit(chunk, out.size, out.itemsize, block):
        raise FileError("chunk's block lengths do not add up to its size")
    read = function(chunk.ctypes.data + HEADER_BYTES, out.ctypes.data, out.size, out.itemsize, block)
    if read != chunk.size - HEADER_BYTES:
        raise FileError(f"LZ4 decoder stopped with code {read}")
