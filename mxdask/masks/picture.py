"""A picture of a mask: every pixel in the colour of the reason it is masked for, on the image in grey."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mxdask.io.atomic import replacing
from mxdask.masks.reasons import Reasons

# Largest side of the detector in the picture, px.
_LARGEST = 1500
_LEGEND = 470
# Colours that are told apart with any colour vision: Okabe & Ito (2008), and their darker kin.
_COLOURS = (
    (0, 114, 178), (86, 180, 233), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (240, 228, 66),
    (0, 70, 110), (140, 60, 0), (0, 100, 70), (130, 70, 110),
)  # fmt: skip
_GAP = (228, 228, 232)


def draw_mask(
    path: str | Path,
    reasons: Reasons,
    offsets: Sequence[tuple[int, int]],
    title: str,
    frames: Sequence[np.ndarray] | None = None,
) -> None:
    """Write a PNG.

    Parameters
    ----------
    offsets : (slow, fast) of each panel in the picture of the whole detector.
    title : first line of the legend.
    frames : per panel the raw counts to show where pixels are good, or None for plain white.
    """
    codes = _assemble(reasons.codes, offsets, -1)
    step = max(1, -(-max(codes.shape) // _LARGEST))
    small = _largest_of_blocks(codes, step)
    grey = np.full(small.shape, 255, dtype=np.uint8)
    if frames is not None:
        # Pixels that are masked must not set the scale, nor shine through.
        counts = [np.where(c == 0, f, 0) for c, f in zip(reasons.codes, frames, strict=True)]
        grey = _grey(_largest_of_blocks(_assemble(counts, offsets, 0), step))
    palette = np.array([_COLOURS[k % len(_COLOURS)] for k in range(256)], dtype=np.uint8)
    pixels = np.where((small > 0)[..., None], palette[np.maximum(small, 1) - 1], grey[..., None])
    pixels[small < 0] = _GAP
    height, width = small.shape
    canvas = Image.new("RGB", (width + _LEGEND, max(height, 150 + 34 * len(reasons.names))), "white")
    canvas.paste(Image.fromarray(pixels.astype(np.uint8)), (0, 0))
    _legend(canvas, width + 24, title, reasons, step)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        canvas.save(file, format="PNG")


def panel_offsets(shapes: Sequence[tuple[int, int]], raw_offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(slow, fast) places of panels: those of the raw image, or one below the other if these are not known."""
    if len(set(raw_offsets)) == len(shapes):
        return list(raw_offsets)
    tops = np.cumsum([0] + [height + 10 for height, _ in shapes])
    return [(int(top), 0) for top in tops[: len(shapes)]]


def _assemble(panels: Sequence[np.ndarray], offsets: Sequence[tuple[int, int]], empty: int) -> np.ndarray:
    height = max(y + p.shape[0] for p, (y, _) in zip(panels, offsets, strict=True))
    width = max(x + p.shape[1] for p, (_, x) in zip(panels, offsets, strict=True))
    whole = np.full((height, width), empty, dtype=np.int16 if empty < 0 else panels[0].dtype)
    for panel, (y, x) in zip(panels, offsets, strict=True):
        whole[y : y + panel.shape[0], x : x + panel.shape[1]] = panel
    return whole


def _largest_of_blocks(array: np.ndarray, step: int) -> np.ndarray:
    """Largest value of each step × step block (the last ones may be smaller), so that single pixels stay visible."""
    rows = np.maximum.reduceat(array, np.arange(0, array.shape[0], step), axis=0)
    return np.maximum.reduceat(rows, np.arange(0, array.shape[1], step), axis=1)


def _grey(counts: np.ndarray) -> np.ndarray:
    """White for no counts to dark grey for the brightest thousandth, logarithmic."""
    level = np.log1p(np.maximum(counts, 0).astype(np.float64))
    top = float(np.quantile(level, 0.999)) or 1.0
    return (255 - 205 * np.clip(level / top, 0, 1)).astype(np.uint8)


def _legend(canvas: Image.Image, left: int, title: str, reasons: Reasons, step: int) -> None:
    draw = ImageDraw.Draw(canvas)
    large, small = ImageFont.load_default(size=20), ImageFont.load_default(size=15)
    total = reasons.n_pixels
    rows = reasons.rows()
    n_masked = sum(first for _, first, _ in rows)
    draw.text((left, 20), _shortened(title, 38), font=large, fill="black")
    draw.text(
        (left, 52), f"masked: {n_masked:,} of {total:,} pixels ({_percent(n_masked, total)})", font=small, fill="black"
    )
    y = 92
    for k, (name, first, touched) in enumerate(rows):
        draw.rectangle((left, y, left + 18, y + 18), fill=_COLOURS[k % len(_COLOURS)], outline="black")
        draw.text((left + 30, y), _shortened(name, 30), font=small, fill="black")
        draw.text((left + 425, y), f"{first:,} ({_percent(first, total)})", font=small, fill="black", anchor="ra")
        y += 20
        if touched > first:
            draw.text(
                (left + 30, y), f"and {touched - first:,} masked for a reason above", font=small, fill=(110, 110, 110)
            )
            y += 18
        y += 8
    if step > 1:
        draw.text((left, y + 8), f"one dot is {step} x {step} pixels", font=small, fill=(110, 110, 110))


def _percent(part: int, whole: int) -> str:
    share = 100.0 * part / whole
    return f"{share:.2f}%" if share >= 0.01 or part == 0 else "<0.01%"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
