"""One shard of a Zarr v3 array of frames: one chunk per frame, then an index (Zarr 3.0, sharding_indexed).

Written and read here, not by zarr, so that a block is written frame by frame with one frame in memory, and so that
several threads pack and unpack at the same time (zarr hands all its chunks to one event loop; ecosystem.md A2).
A chunk is a Blosc buffer followed by its CRC-32C; damage is noticed before anything is unpacked.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import google_crc32c
import numpy as np
from numcodecs import blosc

from mxdask.errors import FileError
from mxdask.io.atomic import replacing

Codec = Literal["zstd", "lz4"]
LEVEL: dict[str, int] = {"zstd": 3, "lz4": 5}
ABSENT = 2**64 - 1
_CHECKSUM = struct.Struct("<I")

blosc.use_threads = False  # parallelism is Dask's


def packed_crc(chunk: bytes | memoryview) -> bytes:
    return _CHECKSUM.pack(google_crc32c.value(bytes(chunk)))


class ShardWriter:
    """Appends frames to a shard; see :func:`writing`."""

    def __init__(self, file: BinaryIO, slots: int, codec: Codec) -> None:
        self._file, self._codec = file, codec
        self._index = np.full((slots, 2), ABSENT, dtype="<u8")
        self._slot = 0
        self._position = 0

    def add(self, frame: np.ndarray) -> None:
        """The next frame, C-contiguous in native byte order."""
        chunk = blosc.compress(
            frame, self._codec.encode(), LEVEL[self._codec], shuffle=blosc.BITSHUFFLE, typesize=frame.dtype.itemsize
        )
        length = self._file.write(chunk) + self._file.write(packed_crc(chunk))
        self._index[self._slot] = self._position, length
        self._slot, self._position = self._slot + 1, self._position + length

    def skip(self) -> None:
        """The next frame does not exist."""
        self._slot += 1

    def finish(self) -> None:
        index = self._index.tobytes()
        self._file.write(index + packed_crc(index))


@contextmanager
def writing(path: Path, slots: int, codec: Codec) -> Iterator[ShardWriter]:
    """A writer whose file appears under ``path`` when the block ends without error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        writer = ShardWriter(file, slots, codec)
        yield writer
        writer.finish()


class ShardReader:
    """Reads the frames of one shard; belongs to one thread.

    Raises
    ------
    FileError : the file is missing, or its index is cut off or damaged.
    """

    def __init__(self, path: Path, slots: int) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise FileError(f"{path}: cannot be read ({error.strerror}); a part of the store is missing") from error
        try:
            index_bytes = 16 * slots
            end = os.fstat(self._descriptor).st_size - index_bytes - 4
            tail = os.pread(self._descriptor, index_bytes + 4, max(end, 0))
            if end < 0 or len(tail) != index_bytes + 4 or packed_crc(tail[:-4]) != tail[-4:]:
                raise FileError(f"{path}: the index of this part of the store is damaged or cut off")
            self._index = np.frombuffer(tail, dtype="<u8", count=2 * slots).reshape(slots, 2)
            self._end = end
        except BaseException:
            os.close(self._descriptor)
            raise

    def read(self, slot: int, out: np.ndarray) -> bool:
        """Unpack a frame into ``out``; False when it does not exist.

        Raises
        ------
        FileError : the chunk is damaged or of another size than ``out``.
        """
        offset, length = (int(v) for v in self._index[slot])
        if offset == ABSENT:
            return False
        if length <= 20 or offset + length > self._end:
            raise FileError(f"{self._path}: chunk {slot} lies outside the file")
        packed = os.pread(self._descriptor, length, offset)
        if len(packed) != length or packed_crc(memoryview(packed)[:-4]) != packed[-4:]:
            raise FileError(f"{self._path}: chunk {slot} is damaged (its checksum is wrong)")
        unpacked, _, compressed = struct.unpack_from("<III", packed, 4)  # Blosc 1 header: sizes and block size
        if unpacked != out.nbytes or compressed != length - 4:
            raise FileError(f"{self._path}: chunk {slot} holds {unpacked} bytes, a frame has {out.nbytes}")
        blosc.decompress(packed[:-4], out)
        return True

    def close(self) -> None:
        os.close(self._descriptor)
