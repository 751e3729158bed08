"""Static masks: what of a detector is a measurement, apart from the values of a frame.

Format mask, untrusted rectangles and the look-up mask are ANDed; none replaces another (front.md 5).
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Sequence

import numpy as np

from mxdask.errors import FileError
from mxdask.io.mask import read_mask

Rectangle = tuple[int, int, int, int]

# A thousand sweeps usually have a handful of distinct masks: equal ones are one array (DIALS #2227 ran out of memory).
_distinct: weakref.WeakValueDictionary[bytes, np.ndarray] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def share(mask: np.ndarray) -> np.ndarray:
    """The one read-only array of this process with these contents."""
    mask = np.ascontiguousarray(mask, dtype=bool)
    key = hashlib.blake2b(mask.tobytes(), digest_size=16, person=str(mask.shape).encode()[:16]).digest()
    with _lock:
        known = _distinct.get(key)
        if known is None:
            mask.setflags(write=False)
            _distinct[key] = known = mask
        return known


def combine(
    shapes: Sequence[tuple[int, int]],
    format_masks: Sequence[np.ndarray] | None,
    untrusted: Sequence[Sequence[Rectangle]],
    mask_file: str | None,
) -> tuple[np.ndarray, ...]:
    """One (slow, fast) bool array per panel, True = good.

    Parameters
    ----------
    shapes : (slow, fast) per panel.
    format_masks : per panel, or None.
    untrusted : per panel rectangles (x0, y0, x1, y1), half-open pixels; parts outside the panel are ignored.
    mask_file : look-up mask (DIALS pickle, .npz, .npy) or None.

    Raises
    ------
    FileError : the look-up mask cannot be read or has other shapes.
    """
    looked_up = None if mask_file is None else _matching(mask_file, shapes)
    masks = []
    for index, shape in enumerate(shapes):
        mask = np.ones(shape, dtype=bool) if format_masks is None else np.array(format_masks[index], dtype=bool)
        for x0, y0, x1, y1 in untrusted[index]:
            mask[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = False
        if looked_up is not None:
            mask &= looked_up[index]
        masks.append(share(mask))
    return tuple(masks)


def _matching(path: str, shapes: Sequence[tuple[int, int]]) -> tuple[np.ndarray, ...]:
    masks = read_mask(path)
    found = [m.shape for m in masks]
    if found != [tuple(s) for s in shapes]:
        raise FileError(
            f"{path}: mask has {_words(found)} (slow, fast), the detector {_words(shapes)}; give a mask made for it"
        )
    return masks


def _words(shapes: Sequence[tuple[int, ...]]) -> str:
    if len(set(map(tuple, shapes))) == 1:
        return f"{len(shapes)} panel{'s' if len(shapes) > 1 else ''} of {tuple(shapes[0])}"
    return f"panels {[tuple(s) for s in shapes]}"
