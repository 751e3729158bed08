"""Figures in one style. Every function returns None where there is nothing to draw."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np

from mxdask.report.figure import Axis, Figure, Glyph

# Colours that stay apart for colour-blind readers (Okabe & Ito, 2008), blue first.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#7F7F7F")
MAX_LINES = 12  # more curves than this are drawn as a map of colours
MAX_ROWS = 400  # of such a map

Series = tuple[str, np.ndarray, np.ndarray]
Colours = Mapping[str, str]


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _with_legend(figure: Figure) -> Figure:
    figure.legend = 1 < len({g.name for g in figure.glyphs}) <= MAX_LINES
    return figure


def palette(names: Sequence[str]) -> dict[str, str]:
    """A colour for every name, by its place."""
    return {name: _colour(i) for i, name in enumerate(names)}


def lines(
    title: str, x: str, y: str, series: Sequence[Series], *, markers: bool | Sequence[str] = False,
    colours: Colours | None = None, log_x: bool = False, plain: Sequence[str] = (),
) -> Figure | None:  # fmt: skip
    """Curves (name, x, y) with a legend to hide them one by one; points that are not finite leave gaps.

    Parameters
    ----------
    markers : points too, of all curves or of those named.
    colours : name → colour; the others get theirs by their place.
    plain : names of curves that are only there to compare with: thin, dashed and grey.
    """
    series = [(n, a, b) for n, a, b in series if len(a) == len(b) > 0 and np.isfinite(b).any()]
    if not series:
        return None
    glyphs = []
    for i, (name, xs, ys) in enumerate(series):
        data = {"x": xs, "y": ys}
        if name in plain:
            glyphs.append(Glyph("line", name, data, {"colour": COLOURS[-1], "dashed": True}))
            continue
        colour = (colours or {}).get(name, _colour(i))
        glyphs.append(Glyph("line", name, data, {"colour": colour}))
        if len(xs) < 3 or (markers if isinstance(markers, bool) else name in markers):
            glyphs.append(Glyph("points", name, data, {"colour": colour, "size": 5}))
    return _with_legend(Figure(title, Axis(x, log=log_x), Axis(y), glyphs, hover=[("", "$name"), (x, "@x"), (y, "@y")]))


def heatmap(title: str, x: str, y: str, names: Sequence[str], start: float, values: np.ndarray) -> Figure | None:
    """(crystal, image) values as colours: many crystals in one look, of very many every k-th."""
    if values.size == 0 or not np.isfinite(values).any():
        return None
    every = -(-len(values) // MAX_ROWS)
    values, names = values[::every], names[::every]
    low, high = np.nanpercentile(values, [1, 99])
    n, width = values.shape
    ticks = {-(i + 0.5): names[i] for i in (range(n) if n <= 30 else range(0, n, max(1, n // 10)))}
    style = {"x": start, "y": -n, "width": width, "height": n, "low": low, "high": max(high, low + 1e-9), "title": y}
    image = Glyph("image", title, {"image": values[::-1].astype(np.float32)}, style)
    side = "crystal" if every == 1 else f"crystal (one of {every})"
    return Figure(title, Axis(x), Axis(side, ticks=ticks), [image], hover=[(y, "@image"), (x, "$x{0}")])


def colour_map(
    title: str, x: str, y: str, value: str, values: np.ndarray, x_range: tuple[float, float],
    y_range: tuple[float, float], *, limits: tuple[float, float] | None = None,
) -> Figure | None:  # fmt: skip
    """A (rows, columns) map of values as colours; the first row is at the start of ``y_range``.

    Parameters
    ----------
    limits : of the colours; default the smallest and the largest value.
    """
    if values.size == 0 or not np.isfinite(values).any():
        return None
    low, high = limits or (float(np.nanmin(values)), float(np.nanmax(values)))
    (x0, x1), (y0, y1) = x_range, y_range
    style = {
        "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0,
        "low": low, "high": max(high, low + 1e-9), "title": value,
    }  # fmt: skip
    image = Glyph("image", title, {"image": values.astype(np.float32)}, style)
    hover = [(value, "@image"), (x, "$x{0.0}"), (y, "$y{0.0}")]
    return Figure(title, Axis(x), Axis(y), [image], hover=hover)


def per_image(
    title: str, y: str, names: Sequence[str], curves: Sequence[np.ndarray], first: Sequence[float],
    colours: Colours | None = None,
) -> Figure | None:  # fmt: skip
    """One value per image and crystal: lines for a few crystals, a map of colours for many.

    Parameters
    ----------
    curves : (n_images,) per crystal; empty ones are left out.
    first : number of the first image of each.
    """
    kept = [i for i, c in enumerate(curves) if len(c)]
    if len(kept) <= MAX_LINES:
        series = [(names[i], first[i] + np.arange(len(curves[i])), curves[i]) for i in kept]
        return lines(title, "image", y, series, colours=colours)
    longest = max(len(curves[i]) for i in kept)
    values = np.full((len(kept), longest), np.nan)
    for row, i in enumerate(kept):
        values[row, : len(curves[i])] = curves[i]
    return heatmap(title, "image", y, [names[i] for i in kept], min(first[i] for i in kept), values)


def per_crystal(title: str, y: str, names: Sequence[str], series: Mapping[str, np.ndarray]) -> Figure | None:
    """One point per crystal and quantity, crystals in their order; hovering tells which."""
    shown = {k: v for k, v in series.items() if np.isfinite(v).any()}
    if not shown:
        return None
    size = 9 if len(names) <= 60 else 5
    glyphs = []
    for i, (name, values) in enumerate(shown.items()):
        place = np.flatnonzero(np.isfinite(values)).tolist()
        data = {"x": [p + 1 for p in place], "y": values[place], "crystal": [names[p] for p in place]}
        glyphs.append(Glyph("points", name, data, {"colour": _colour(i), "size": size}))
    ticks = {float(i + 1): n for i, n in enumerate(short_names(names))} if len(names) <= 12 else None
    hover = [("", "@crystal"), (y, "@y")]
    return _with_legend(Figure(title, Axis("crystal", ticks=ticks), Axis(y), glyphs, hover=hover))


def short_names(names: Sequence[str]) -> list[str]:
    """Names without the beginning that all share."""
    if len(names) < 2:
        return list(names)
    low, high = min(names), max(names)
    n = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    n = max(low.rfind("_", 0, n) + 1, 0)
    return [name[n:] or name for name in names]


def histogram(title: str, x: str, series: Mapping[str, np.ndarray], bins: int = 30) -> Figure | None:
    """Distributions over common bins."""
    finite = {k: v[np.isfinite(v)] for k, v in series.items() if np.isfinite(v).sum() > 1}
    if not finite:
        return None
    everything = np.concatenate(list(finite.values()))
    low, high = float(everything.min()), float(everything.max())
    equal = high - low <= 1e-9 * max(abs(low), abs(high))  # or so near that there is no room for bins between
    edges = np.histogram_bin_edges(everything, bins, (low - 0.5, high + 0.5) if equal else None)
    glyphs = []
    for i, (name, values) in enumerate(finite.items()):
        counts, _ = np.histogram(values, edges)
        data = {"left": edges[:-1], "right": edges[1:], "top": counts}
        glyphs.append(Glyph("bars", name, data, {"colour": _colour(i)}))
    hover = [(x, "@left – @right"), ("number", "@top")]
    return _with_legend(Figure(title, Axis(x), Axis("number"), glyphs, hover=hover))


def bars(title: str, x: str, y: str, left: np.ndarray, right: np.ndarray, top: np.ndarray) -> Figure | None:
    """A histogram that was counted elsewhere."""
    if len(top) == 0 or len(left) != len(top) or len(right) != len(top):
        return None
    glyph = Glyph("bars", title, {"left": left, "right": right, "top": top}, {"colour": COLOURS[0]})
    return Figure(title, Axis(x), Axis(y), [glyph], hover=[(x, "@left – @right"), (y, "@top")])


def scatter(
    title: str, x: str, y: str, xs: np.ndarray, ys: np.ndarray, names: Sequence[str],
    groups: Sequence[str] | None = None, *, equal: bool = False,
) -> Figure | None:  # fmt: skip
    """Points with names, coloured by group; ``equal`` gives both axes one scale and draws them through the origin."""
    ok = np.isfinite(xs) & np.isfinite(ys)
    if not ok.any():
        return None
    groups = list(groups) if groups is not None else [""] * len(xs)
    size = 9 if len(xs) <= 60 else 5
    kinds = list(dict.fromkeys(g for g, good in zip(groups, ok, strict=True) if good))
    colours = COLOURS if len(kinds) <= len(COLOURS) else hues(len(kinds))
    glyphs = []
    for group, colour in zip(kinds, colours, strict=False):
        rows = [k for k in np.flatnonzero(ok).tolist() if groups[k] == group]
        data = {"x": xs[rows], "y": ys[rows], "who": [names[k] for k in rows]}
        glyphs.append(Glyph("points", group, data, {"colour": colour, "size": size}))
    hover = [("", "@who"), *([("", "$name")] if any(groups) else []), (x, "@x"), (y, "@y")]
    return _with_legend(Figure(title, Axis(x), Axis(y), glyphs, hover=hover, equal=equal, cross=equal))


def hues(n: int) -> tuple[str, ...]:
    """So many colours around the wheel."""
    shades = (colorsys.hls_to_rgb(i / n, 0.45, 0.75) for i in range(n))
    return tuple("#" + "".join(f"{round(255 * part):02x}" for part in shade) for shade in shades)


# Resolutions (Å) that an axis may be labelled with.
_RESOLUTIONS = np.array(
    [20, 10, 7, 5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
)


def against_resolution(
    title: str, y: str, d: np.ndarray, series: Mapping[str, np.ndarray], *,
    markers: bool | Sequence[str] = True, plain: Sequence[str] = (),
) -> Figure | None:  # fmt: skip
    """Curves against resolution: the axis is linear in 1/d² and labelled in Å."""
    s2 = 1 / d**2 if len(d) else d
    figure = lines(title, "resolution (Å)", y, [(k, s2, v) for k, v in series.items()], markers=markers, plain=plain)
    if figure is None:
        return None
    finite = s2[np.isfinite(s2)]
    places = 1 / _RESOLUTIONS**2
    inside = np.flatnonzero((places >= finite.min()) & (places <= finite.max() * 1.02))
    kept: list[int] = []
    for i in inside:  # labels at least a twelfth of the axis apart
        if not kept or places[i] - places[kept[-1]] > np.ptp(finite) / 12:
            kept.append(int(i))
    figure.x.ticks = {float(places[i]): f"{_RESOLUTIONS[i]:g}" for i in kept} or None
    figure.hover = [("", "$name"), ("1/d²", "@x"), (y, "@y")]
    return figure
