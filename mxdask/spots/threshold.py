"""Strong pixels of one frame by the dispersion algorithms of front.md 6.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mxdask.spots.extended_kernels import list_kept, strong_above_background
from mxdask.spots.params import Dispersion
from mxdask.spots.threshold_kernels import Rule, Scratch, Sums, Tables, find_dispersed

# With more special pixels than this the wide sums are faster than the narrow ones.
_MANY_SPECIAL = 0.005
# That is told from every so many rows.
_EVERY = 16


@dataclass(frozen=True)
class StrongPixels:
    """Strong pixels of one panel of one frame.

    Attributes
    ----------
    index : (n,) i8 ascending, slow·width + fast.
    value : (n,) i8 raw counts.
    n_usable, total : number and sum (raw counts) of all usable pixels, strong or not.
    n_overloaded : pixels above the trusted range.
    """

    index: np.ndarray
    value: np.ndarray
    n_usable: int
    total: int
    n_overloaded: int


class FrameThreshold(Protocol):
    """Anything that finds strong pixels in the frames of one panel; belongs to one thread."""

    def find(self, frame: np.ndarray) -> StrongPixels: ...


def box_counts(valid: np.ndarray, ky: int, kx: int) -> np.ndarray:
    """(slow, fast) u2 number of set elements within the (2·ky + 1) × (2·kx + 1) window of each element.

    Sixteen bits and nothing of the detector's size besides: of a detector of 16 Mpx every copy counts.
    """
    rows_summed = valid.astype(np.uint16)
    for k in range(1, ky + 1):
        rows_summed[k:] += valid[:-k]
        rows_summed[:-k] += valid[k:]
    counts = rows_summed.copy()
    for k in range(1, kx + 1):
        counts[:, k:] += rows_summed[:, :-k]
        counts[:, :-k] += rows_summed[:, k:]
    return counts


def pack_bits(flags: np.ndarray, *, rest: bool) -> np.ndarray:
    """(slow, words) u8 of (slow, fast) bools, column i in bit i % 64 of word i // 64; ``rest`` fills the last word."""
    height, width = flags.shape
    packed = np.full((height, -(-width // 64) * 8), 255 * rest, np.uint8)
    whole = width // 8
    packed[:, :whole] = np.packbits(flags[:, : 8 * whole], axis=1, bitorder="little")
    if width % 8:
        last = np.full((height, 8), rest)
        last[:, : width % 8] = flags[:, 8 * whole :]
        packed[:, whole] = np.packbits(last, axis=1, bitorder="little")[:, 0]
    return packed.view("<u8").astype(np.uint64, copy=False)


def make_rule(
    params: Dispersion, trusted_range: tuple[float, float], detector_gain: float, pedestal: float, floor: float
) -> Rule:
    """The threshold in raw counts.

    Parameters
    ----------
    trusted_range : raw values, both included. detector_gain, pedestal : the detector's.
    floor : global threshold, in corrected counts.
    """
    ky, kx = params.kernel_size
    window = (2 * ky + 1) * (2 * kx + 1)
    gain = (params.gain or 1.0) * detector_gain
    m = np.arange(2, window + 1)
    excess = gain * (m - 1 + params.sigma_background * np.sqrt(2.0 * (m - 1))) / m
    least_excess = float(excess.min())
    limits = np.clip([np.ceil(trusted_range[0]), np.floor(trusted_range[1])], -(2**31), 2**32 - 1)
    return Rule(
        low=int(limits[0]), high=int(limits[1]), ky=int(ky), kx=int(kx),
        min_local=int(params.min_local if params.min_local > 0 else window),
        gain=float(gain), pedestal=float(pedestal),
        n_background=float(params.sigma_background), n_strong=float(params.sigma_strong),
        floor=float(floor * detector_gain + pedestal), masked_dispersed=int(params.masked_pixels_dispersed),
        least_excess=least_excess, sure=int(excess[-1] == least_excess and pedestal == 0),
    )  # fmt: skip


def make_tables(valid: np.ndarray, rule: Rule) -> Tables:
    """What the kernels look up per pixel, from the mask (True = usable)."""
    window = (2 * rule.ky + 1) * (2 * rule.kx + 1)
    m = box_counts(valid, rule.ky, rule.kx)
    less_one = np.maximum(np.arange(window + 1) - 1.0, 0.0)
    root = np.sqrt(2.0 * less_one)
    tested = valid & (m >= rule.min_local)
    return Tables(
        valid=valid.astype(np.uint8),
        n_window=(m * tested).astype(np.uint8 if window < 256 else np.uint16), root=root,
        valid_bits=pack_bits(valid, rest=False),
        start_bits=pack_bits(~valid if rule.masked_dispersed else np.zeros_like(valid), rest=True),
        full_bits=pack_bits(tested & (m == window), rest=False),
    )  # fmt: skip


def _make_sums(width: int, rule: Rule, dtype: type) -> Sums:
    depth, padded = 2 * rule.ky + 1, -(-width // 64) * 64
    columns: np.ndarray = np.zeros((2, padded + 2 * rule.kx), dtype)
    boxes: np.ndarray = np.zeros((2, padded), dtype)
    return Sums(np.zeros((depth, width), dtype), columns[0], columns[1], boxes[0], boxes[1])


def _make_scratch(shape: tuple[int, int], rule: Rule) -> Scratch:
    height, width = shape
    depth, border = 2 * rule.ky + 1, min(rule.ky, rule.kx) - 1
    words = -(-width // 64)
    extra = np.zeros((3, width), np.int64)
    return Scratch(
        near=np.zeros(words, np.uint64), unsure=np.zeros(words, np.uint64),
        special=np.zeros((depth, width + 1), np.int32), n_special=np.zeros(depth, np.int64),
        extra_m=extra[0], extra_x=extra[1], extra_y=extra[2],
        strong=np.zeros(height * width, np.int32), unusable=np.zeros(height * width, np.int32),
        dispersed=np.full((height + 2 * border, words + 2), 2**64 - 1, np.uint64),
    )  # fmt: skip


class _Background:
    """Memory of *dispersion_extended*'s second half, and its two passes."""

    def __init__(self, tables: Tables, rule: Rule) -> None:
        height, width = tables.valid.shape
        self._valid, self._rule = tables.valid, rule
        self._valid_bits = tables.valid_bits
        words = tables.valid_bits.shape[1]
        self._eroded = np.zeros((height + 2 * (min(rule.ky, rule.kx) - 1), words), np.uint64)
        self._kept_row = np.zeros(words, np.uint64)
        self._kept = np.zeros(height * width + 1, np.int32)
        self._background = tables.valid.ravel().copy()
        self._sums = np.zeros((2, width), np.int32)

    def list_strong(self, frame: np.ndarray, scratch: Scratch, n_unusable: int) -> int:
        """Put the strong pixels into ``scratch.strong``; their number."""
        n = list_kept(scratch.dispersed, self._valid_bits, frame.shape[1], self._eroded, self._kept_row, self._kept)
        number, total = self._sums
        return strong_above_background(
            frame, self._rule, self._valid.ravel(), self._kept[:n], scratch.unusable[:n_unusable],
            self._background, number, total, scratch.strong,
        )  # fmt: skip


class DispersionThreshold:
    """*dispersion* or *dispersion_extended* for the frames of one panel; memory is reused from frame to frame.

    Parameters
    ----------
    tables, rule : see :func:`make_tables`, :func:`make_rule`.
    extended : whether to use *dispersion_extended*.
    """

    def __init__(self, tables: Tables, rule: Rule, *, extended: bool) -> None:
        self.tables, self.rule, self.extended = tables, rule, extended
        shape = tables.valid.shape
        window = (2 * rule.ky + 1) * (2 * rule.kx + 1)
        self._n_valid = int(np.count_nonzero(tables.valid))
        self._sampled = tables.valid[::_EVERY] != 0
        self._scratch = _make_scratch((shape[0], shape[1]), rule)
        self._background = _Background(tables, rule)
        # The largest value whose square, summed over a whole window, still fits.
        self._narrow = _make_sums(shape[1], rule, np.uint16), int(np.sqrt((2**16 - 1) / window))
        self._wide = _make_sums(shape[1], rule, np.uint32), min(int(np.sqrt((2**32 - 1) / window)), 2**15)

    def find(self, frame: np.ndarray) -> StrongPixels:
        """Strong pixels of a (slow, fast) raw frame of unsigned 16, 32 or signed 32-bit integers."""
        sums, small = self._narrow
        bright = (frame[::_EVERY] > small) & self._sampled
        if np.count_nonzero(bright) > _MANY_SPECIAL * bright.size:
            sums, small = self._wide
        n, n_unusable, n_above, total = find_dispersed(
            frame, self.tables, self.rule, sums, small, self._scratch, not self.extended
        )
        if self.extended:
            n = self._background.list_strong(frame, self._scratch, n_unusable)
        index = self._scratch.strong[:n].astype(np.int64)
        return StrongPixels(
            index, frame.ravel()[index].astype(np.int64), self._n_valid - n_unusable, int(total), int(n_above)
        )


def global_threshold(values: np.ndarray) -> float:
    """Automatic global threshold: two levels below the elbow of N(t), the number of values above t = 1.5, 1.5² … 1.5¹⁹.

    The elbow is the point farthest from the chord to the last point that is steepest (Zhang et al. (2006)
    J. Appl. Cryst. 39, 112-119, resolution method 1; front.md 6.1).
    """
    levels = np.array([int(1.5**i) for i in range(1, 20)], dtype=np.float64)
    numbers = np.array([np.count_nonzero(values > level) for level in levels], dtype=np.float64)
    run, rise = levels[-1] - levels[:-1], numbers[-1] - numbers[:-1]
    start = int(np.argmin(rise / run))
    distance = rise[start] * (levels[start:] - levels[start]) - run[start] * (numbers[start:] - numbers[start])
    return float(levels[max(start + int(np.argmax(np.abs(distance))) - 2, 0)])
