"""Images that are kept in a Zarr store while they are looked at: one read, one decompression."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import numpy as np

from mxdask.errors import FileError
from mxdask.images import ImageStack
from mxdask.images.stack import StackReader
from mxdask.images.zarr_store import BlockWriter, ZarrStore


@dataclass(frozen=True)
class RecordingStack(ImageStack):
    """A stack whose readers write every frame of one block into a store, on the way.

    Attributes
    ----------
    store : being written. block : half-open range of z, one whole shard: no other task writes to it.
    """

    store: ZarrStore | None = field(default=None, compare=False)
    block: tuple[int, int] = field(default=(0, 0), compare=False)

    @classmethod
    def of(cls, stack: ImageStack, store: ZarrStore, block: tuple[int, int]) -> RecordingStack:
        """The same images, recorded."""
        return cls(**vars(stack), store=store, block=block)

    def reader(self) -> StackReader:
        """A reader that records unless the block is in the store already."""
        if self.store is None or self.store.is_written(self.block[0]):
            return StackReader(self)
        return RecordingReader(self, self.store, self.block)


class RecordingReader(StackReader):
    """Records the frames of a block in their order.

    Whoever reads may skip frames; they are read for the store alone, at the latest in the end. Nothing is written by a
    reader of which no frame of the block was asked for.
    """

    def __init__(self, stack: ImageStack, store: ZarrStore, block: tuple[int, int]) -> None:
        super().__init__(stack)
        self._store, (self._next, self._end) = store, block
        self._first = self._next
        self._open = contextlib.ExitStack()
        self._writer: BlockWriter | None = None

    def read_whole(self, z: int) -> np.ndarray:
        """The frame as stored; see :class:`StackReader`."""
        if not self._next <= z < self._end:
            return super().read_whole(z)
        self._record_until(z)
        return self._record(z)

    def _record_until(self, end: int) -> None:
        while self._next < end:
            try:
                self._record(self._next)
            except FileError:  # kept in the store as missing; whoever asks for this frame is told
                continue

    def _record(self, z: int) -> np.ndarray:
        if self._writer is None:
            self._writer = self._open.enter_context(self._store.writing(self._first))
        self._next = z + 1
        try:
            frame = super().read_whole(z)
        except FileError as error:
            self._writer.skip(str(error))
            raise
        self._writer.add(frame)
        return frame

    def __exit__(self, *error: object) -> None:
        try:
            with self._open:
                if error[0] is not None:  # leaves no shard behind
                    self._open.__exit__(*error)  # type: ignore[arg-type]
                elif self._writer is not None:
                    self._record_until(self._end)
        finally:
            super().__exit__(*error)
