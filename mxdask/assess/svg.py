"""Pages with line and point plots as SVG: small, instant to make, no script and no network; hovering tells values."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

# Colours that stay apart for colour-blind readers (Okabe & Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B4C9A", "#7F7F7F")
_WIDTH, _HEIGHT = 760, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 34, 48
_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em;color:#1d2733}svg{max-width:100%}"
    "pre{font-size:12px;overflow:auto}text{font:11px system-ui,sans-serif;fill:#1d2733}"
)


@dataclass(frozen=True)
class Series:
    """One curve or cloud of points (n,); ``tips`` are shown when the mouse rests on a point."""

    name: str
    x: np.ndarray
    y: np.ndarray
    points: bool = False
    dashed: bool = False
    tips: Sequence[str] = ()
    colour: str | None = None


@dataclass(frozen=True)
class Plot:
    """One picture.

    Attributes
    ----------
    resolution : the x axis is 1/d² (Å⁻²) and is labelled with d (Å).
    verticals, horizontals : places of dashed lines, with what they mean.
    """

    title: str
    x: str
    y: str
    series: Sequence[Series]
    resolution: bool = False
    verticals: Sequence[tuple[float, str]] = field(default_factory=tuple)
    horizontals: Sequence[tuple[float, str]] = field(default_factory=tuple)


def page(title: str, plots: Sequence[Plot], text: str = "") -> str:
    """An html page of plots, and text as it stands in the log."""
    body = "\n".join(picture(p) for p in plots)
    told = f"<pre>{html.escape(text)}</pre>" if text else ""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return (
        f"<!doctype html><html><head>{head}</head><body><h1>{html.escape(title)}</h1>\n{body}\n{told}</body></html>\n"
    )


def ticks(low: float, high: float, about: int = 6) -> np.ndarray:
    """Round numbers within [low, high], some ``about`` of them."""
    raw = max(high - low, 1e-300) / about
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * min((m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999), default=10)
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step


def picture(plot: Plot) -> str:
    """One plot as an SVG element; points that are not finite leave gaps."""
    shown = [s for s in plot.series if np.isfinite(s.x * s.y).any()]
    if not shown:
        return f"<p>{html.escape(plot.title)}: nothing to draw</p>"
    ok = [np.isfinite(s.x) & np.isfinite(s.y) for s in shown]
    x_low, x_high = _range([s.x[k] for s, k in zip(shown, ok, strict=True)], [v for v, _ in plot.verticals])
    y_low, y_high = _range([s.y[k] for s, k in zip(shown, ok, strict=True)], [v for v, _ in plot.horizontals])

    def across(v: np.ndarray | float) -> np.ndarray:
        return np.asarray(_LEFT + (v - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT))

    def up(v: np.ndarray | float) -> np.ndarray:
        return np.asarray(_HEIGHT - _BOTTOM - (v - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM))

    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{html.escape(plot.title)}</text>']
    parts += _axes(plot, (x_low, x_high), (y_low, y_high), across, up)
    for i, (series, keep) in enumerate(zip(shown, ok, strict=True)):
        colour = series.colour or COLOURS[i % len(COLOURS)]
        parts += _drawn(series, keep, across, up, colour)
        if len(shown) > 1:
            y = _TOP + 10 + 15 * i
            parts.append(f'<rect x="{_WIDTH - _RIGHT + 12}" y="{y - 8}" width="10" height="10" fill="{colour}"/>')
            parts.append(f'<text x="{_WIDTH - _RIGHT + 27}" y="{y}">{html.escape(series.name)}</text>')
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}">{"".join(parts)}</svg>'


def _range(values: Sequence[np.ndarray], marks: Sequence[float]) -> tuple[float, float]:
    everything = np.concatenate([*values, np.array([m for m in marks if np.isfinite(m)], dtype=float)])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.04 * (high - low) or 0.5 * abs(high) or 1.0
    return low - margin, high + margin


_Map = Callable[[np.ndarray | float], np.ndarray]


def _axes(plot: Plot, xs: tuple[float, float], ys: tuple[float, float], across: _Map, up: _Map) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    out = []
    for tick in ticks(*ys):
        y = f"{up(tick):.1f}"
        out.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="#e6e9ee"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y}" dy="4" text-anchor="end">{tick:.6g}</text>')
    for tick in ticks(*xs):
        if plot.resolution and tick <= 0:
            continue
        label = f"{tick**-0.5:.2f}" if plot.resolution else f"{tick:.6g}"
        out.append(f'<line x1="{across(tick):.1f}" x2="{across(tick):.1f}" y1="{bottom}" y2="{bottom + 4}" '
                   'stroke="#5b6470"/>')  # fmt: skip
        out.append(f'<text x="{across(tick):.1f}" y="{bottom + 17}" text-anchor="middle">{label}</text>')
    out.append(f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#5b6470"/>')
    out.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">{html.escape(plot.x)}</text>')
    out.append(f'<text transform="translate(14 {(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
               f"{html.escape(plot.y)}</text>")  # fmt: skip
    for value, meaning in plot.verticals:
        x = f"{across(value):.1f}"
        out.append(_dashed(x, x, str(_TOP), str(bottom), meaning))
    for value, meaning in plot.horizontals:
        y = f"{up(value):.1f}"
        out.append(_dashed(str(_LEFT), str(right), y, y, meaning))
    return out


def _dashed(x1: str, x2: str, y1: str, y2: str, meaning: str) -> str:
    line = f'<line x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}" stroke="#D55E00" stroke-dasharray="5 4"/>'
    return f'{line}<text x="{x2}" y="{y1}" dx="4" dy="10" style="fill:#D55E00">{html.escape(meaning)}</text>'


def _drawn(series: Series, keep: np.ndarray, across: _Map, up: _Map, colour: str) -> list[str]:
    xs, ys = across(np.where(keep, series.x, 0.0)), up(np.where(keep, series.y, 0.0))
    out = []
    if not series.points:
        path, pen_down = [], False
        for x, y, ok in zip(xs, ys, keep, strict=True):
            if ok:
                path.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
            pen_down = bool(ok)
        dash = ' stroke-dasharray="5 4"' if series.dashed else ""
        out.append(f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
    if series.points:
        size = 4 if len(xs) <= 200 else 2.5
        for i in np.flatnonzero(keep).tolist():
            tip = series.tips[i] if len(series.tips) else f"{series.name}: {series.x[i]:.5g}, {series.y[i]:.5g}"
            out.append(f'<circle cx="{xs[i]:.1f}" cy="{ys[i]:.1f}" r="{size}" fill="{colour}">'
                       f"<title>{html.escape(tip)}</title></circle>")  # fmt: skip
    return out
