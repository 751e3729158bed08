"""What became of every crystal: the status of each step, and where and why it was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mxdask.report.reading import lattice_rows, name_of, rows_of, status_of


@dataclass
class Fate:
    """One crystal on its way through the steps.

    Attributes
    ----------
    statuses : step → ok, failed, skipped …; a step that does not mention the crystal is absent.
    dropped_at, reason : the first step that did not take the crystal on, and why; "" for one that arrived.
    """

    name: str
    identifier: str
    statuses: dict[str, str] = field(default_factory=dict)
    dropped_at: str = ""
    reason: str = ""

    @property
    def survived(self) -> bool:
        return not self.dropped_at


def fates(summaries: Mapping[str, Mapping[str, Any]]) -> list[Fate]:
    """Fates in order of first appearance.

    A crystal is known by its identifier, else by its sweep. A further lattice of a sweep (same sweep, new identifier,
    in a step that also has the first) begins a fate of its own.
    """
    out: list[Fate] = []
    for step, summary in summaries.items():
        # Rows about something else than crystals (a wavelength of the merged data) have neither name nor identifier.
        rows = [row for row in lattice_rows(rows_of(summary)) if row.get("sweep") or row.get("identifier")]
        identifiers = {str(row.get("identifier") or "") for row in rows}
        taken: set[int] = set()
        for row in rows:
            fate = _find(out, row, identifiers, taken)
            if fate is None:
                fate = Fate(name_of(row), str(row.get("identifier") or ""))
                out.append(fate)
            taken.add(id(fate))
            status = status_of(row)
            fate.statuses[step] = status
            if status != "ok" and fate.survived:
                fate.dropped_at, fate.reason = step, str(row.get("reason") or "no reason was given")
        _mark_missing(out, step, rows)
    return out


def _find(known: list[Fate], row: Mapping[str, Any], identifiers: set[str], taken: set[int]) -> Fate | None:
    identifier = str(row.get("identifier") or "")
    for fate in known:
        if identifier and fate.identifier == identifier:
            return fate
    for fate in known:
        free = id(fate) not in taken and (not fate.identifier or fate.identifier not in identifiers)
        if fate.name == name_of(row) and free:
            return fate
    return None


def _mark_missing(known: list[Fate], step: str, rows: list[Any]) -> None:
    """A crystal that was on its way and that a step with rows does not mention was lost there, without a word."""
    if not rows:
        return
    for fate in known:
        if fate.survived and step not in fate.statuses and fate.statuses:
            fate.dropped_at, fate.reason = step, "not among the step's results"
