"""A part of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mxdask.report.figure import Figure


@dataclass
class Section:
    """Heading, a sentence, then html and grids of figures in order.

    Attributes
    ----------
    key : anchor on the page. parts : html strings, or lists of figures that are laid out as a grid.
    """

    key: str
    title: str
    lead: str = ""
    parts: list[str | list[Figure]] = field(default_factory=list)

    def add(self, html: str) -> None:
        """Append html; "" is left out."""
        if html:
            self.parts.append(html)

    def plots(self, figures: Sequence[Figure | None]) -> None:
        """Append a grid of the figures that are not None."""
        drawn = [f for f in figures if f is not None]
        if drawn:
            self.parts.append(drawn)
