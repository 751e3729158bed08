"""Import and spot finding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mxdask.report.markup import cards, rows_table, table
from mxdask.report.plots import Colours, histogram, per_image
from mxdask.report.reading import array, column, good_rows, names_of, number, rows_of
from mxdask.report.section import Section

_MANY = 20  # crystals from which a histogram says more than points


def importing(summary: Mapping[str, Any]) -> Section:
    """Sweeps as their headers describe them."""
    section = Section("import", "Import")
    section.add(
        cards(
            {
                "sweeps": summary.get("n_sweeps"), "stills": summary.get("n_stills") or None,
                "images": summary.get("n_images"),
                "formats": ", ".join(map(str, summary.get("formats") or ())),
            }
        )
    )  # fmt: skip
    section.add(
        rows_table(
            rows_of(summary),
            ("n_images", "start", "width", "wavelength", "distance"),
            hidden=("template", "still", "image_range"),
        )
    )
    differences = [str(line) for line in summary.get("differences") or ()]
    if differences:
        section.add("<h3>Differences between sweeps</h3>" + table(["difference"], [[line] for line in differences]))
    return section


def spots(summary: Mapping[str, Any], colours: Colours) -> Section:
    """Strong spots of every sweep, image by image."""
    section = Section("find_spots", "Strong spots")
    rows = rows_of(summary)
    section.add(cards({"spots": summary.get("n_spots"), "images": summary.get("n_images")}))
    hidden = ("n_components", "n_too_small", "n_too_large", "n_off_centre", "n_crowded")
    section.add(rows_table(rows, ("n_spots", "n_strong_pixels", "mean_background"), hidden=hidden))
    good = good_rows(rows)
    names = names_of(good)
    first = [_first_image(row) for row in good]
    figures = [
        per_image(title, y, names, [array(row.get(key)) for row in good], first, colours)
        for title, y, key in (
            ("Spots per image", "spots", "spots_per_image"),
            ("Strong pixels per image", "strong pixels", "strong_pixels_per_image"),
            ("Background per image", "counts/px", "background_per_image"),
            ("Estimated resolution per image", "Å", "d_min_per_image"),
            ("Intensity of the spots per image", "counts", "intensity_per_image"),
        )
    ]
    if len(good) >= _MANY:
        figures.append(histogram("Spots per crystal", "spots", {"spots": column(good, "n_spots", "n_strong")}))
    section.plots(figures)
    return section


def _first_image(row: Mapping[str, Any]) -> float:
    images = array(row.get("images"))
    value = images[0] if len(images) else number(row.get("first_image"))
    return float(value) if value == value else 1.0
