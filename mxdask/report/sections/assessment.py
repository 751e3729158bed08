"""What merged data tell beyond their statistics: crystals that harm, Wilson plot, twinning, radiation damage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mxdask.report.figure import Figure
from mxdask.report.markup import cards, note, table
from mxdask.report.plots import against_resolution, lines, per_crystal
from mxdask.report.reading import array, mapping, number, rows_of
from mxdask.report.section import Section


def assessment(summary: Mapping[str, Any]) -> Section:
    """Figures of what merging found; what it did not look at is left out."""
    section = Section("assessment", "How good the data are")
    delta, wilson, twinning, damage = (
        mapping(summary.get(key)) for key in ("delta_cchalf", "wilson", "twinning", "damage")
    )
    b, esd = number(wilson.get("b")), number(wilson.get("b_esd"))
    section.add(
        cards(
            {
                "Wilson B (Å²)": f"{b:.1f} ± {esd:.1f}" if np.isfinite(b) else None,
                "⟨|L|⟩ (0.5: no twin, 0.375: perfect twin)": _short(twinning.get("mean_abs_L")),
            }
        )
    )
    section.add(note(str(twinning.get("verdict") or "")))
    names = [str(name) for name in delta.get("crystals") or ()]
    change = array(delta.get("delta"))
    section.plots(
        [
            per_crystal("ΔCC½: below zero the data are better without", "ΔCC½ (%)", names, {"ΔCC½": change})
            if len(names) == len(change) > 0 else None,
            _wilson(wilson, b), _l_test(twinning), *_damage(damage),
        ]
    )  # fmt: skip
    laws = [
        [law.get("operator"), law.get("n_pairs"), law.get("r_twin"), law.get("alpha_h"), law.get("alpha_britton")]
        for law in rows_of(twinning, "laws")
    ]
    if laws:
        header = ["operator", "pairs", "R", "fraction by H", "fraction by Britton plot"]
        section.add("<h3>Twin laws the lattice allows</h3>" + table(header, laws, kind="narrow"))
    return section


def _wilson(wilson: Mapping[str, Any], b: float) -> Figure | None:
    """Mean intensity over that of the atoms, and the line of the B factor."""
    s, ratio = array(wilson.get("d_star_sq")), array(wilson.get("ln_ratio"))
    if len(s) < 2 or len(s) != len(ratio):
        return None
    series = {"shells": ratio, "line": number(wilson.get("ln_k")) - 0.5 * b * s}
    with np.errstate(divide="ignore"):
        return against_resolution("Wilson plot", "ln(⟨I⟩/Σf²)", s**-0.5, series, plain=("line",))


def _l_test(twinning: Mapping[str, Any]) -> Figure | None:
    """Distribution of |L| with those of an untwinned crystal and of a perfect twin."""
    x, seen = array(twinning.get("abs_L")), array(twinning.get("cumulative_L"))
    if len(x) < 2 or len(x) != len(seen):
        return None
    series = [("observed", x, seen), ("untwinned", x, x), ("perfect twin", x, x * (3 - x**2) / 2)]
    return lines("L-test of twinning", "|L|", "N(|L|)", series, plain=("untwinned", "perfect twin"))


def _damage(damage: Mapping[str, Any]) -> list[Figure | None]:
    """Differences of equivalents against the number of the image."""
    image = array(damage.get("image"))
    if len(image) < 2:
        return []
    rcp, scp, rd = (array(damage.get(key)) for key in ("rcp", "scp", "rd"))
    apart = [("Rd", image - image[0], np.where(rd > 0, rd, np.nan))] if len(rd) == len(image) else []
    return [
        lines("Radiation damage: pairs up to an image", "image", "Rcp", [("Rcp", image, rcp)]),
        lines(
            "Radiation damage over what errors explain", "image", "Scp",
            [("Scp", image, np.where(scp > 0, scp, np.nan)), ("no damage", image, np.ones(len(image)))],
            plain=("no damage",),
        ),
        lines("Pairs by their distance", "difference of image", "Rd", apart),
    ]  # fmt: skip


def _short(value: Any) -> str | None:
    x = number(value)
    return f"{x:.3f}" if np.isfinite(x) else None
