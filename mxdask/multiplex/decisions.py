"""Decisions are data: a table of every crystal, what became of it and why, and what the user wants instead."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mxdask.errors import FileError
from mxdask.io.atomic import replacing

COLUMNS = ("crystal", "identifier", "form", "fate", "group", "reason", "user")
HINT = "user: empty, keep, drop, or pin:GROUP"


@dataclass(frozen=True)
class Decision:
    """One line of the table.

    Attributes
    ----------
    crystal, identifier : who. form : number of the cell cluster, "" if none.
    fate : kept, outlier, weak, dropped, filtered, other cell, duplicate, unplaced, unscaled, unusable, unreadable.
    group : number of its group (or name of a pinned one), "" if none.
    reason : in words. user : keep, drop, pin:GROUP, or "".
    """

    crystal: str
    identifier: str
    form: str
    fate: str
    group: str
    reason: str
    user: str = ""


@dataclass(frozen=True)
class Wishes:
    """What users wrote into the table of an earlier run, by crystal.

    Attributes
    ----------
    drop, keep : names of crystals. pin : name → group. groups : group → names that were in it when the user wrote.
    text : name → the word itself, to be kept in the next table.
    """

    drop: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    pin: Mapping[str, str] | None = None
    groups: Mapping[str, frozenset[str]] | None = None
    text: Mapping[str, str] | None = None

    def word(self, crystal: str) -> str:
        """The user's word for a crystal."""
        return (self.text or {}).get(crystal, "")


def read_wishes(path: Path, who: Sequence[tuple[str, str]]) -> Wishes:
    """The user's column of a table, matched to crystals by identifier, else by name.

    Parameters
    ----------
    who : (name, identifier) of the crystals of this run.

    Raises
    ------
    FileError : the file is not such a table, or a word is none of keep, drop, pin:GROUP.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: cannot be read as a table of decisions ({error})") from error
    lines = text.splitlines()
    separator = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    rows = list(csv.DictReader(io.StringIO(text), delimiter=separator))
    if rows and not {"crystal", "user"} <= rows[0].keys():
        raise FileError(f"{path}: a table of decisions needs the columns crystal and user; it has {', '.join(rows[0])}")
    by_identifier = {identifier: name for name, identifier in who}
    names = {name for name, _ in who}
    words: dict[str, str] = {}
    groups: dict[str, set[str]] = {}
    for number, row in enumerate(rows, start=2):
        name = by_identifier.get((row.get("identifier") or "").strip(), (row["crystal"] or "").strip())
        word = (row["user"] or "").strip()
        _check(word, f"{path}, line {number}")
        if name not in names:
            continue
        if word:
            words[name] = word
        if group := (row.get("group") or "").strip():
            groups.setdefault(group, set()).add(name)
    pins = {name: word.partition(":")[2].strip() for name, word in words.items() if word.startswith("pin:")}
    return Wishes(
        frozenset(n for n, w in words.items() if w == "drop"), frozenset(n for n, w in words.items() if w == "keep"),
        pins, {g: frozenset(members) for g, members in groups.items()}, words,
    )  # fmt: skip


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """The table as CSV, in the order of the crystals."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([getattr(d, c) for c in COLUMNS] for d in decisions)


def _check(word: str, where: str) -> None:
    if word in ("", "keep", "drop") or (word.startswith("pin:") and word.partition(":")[2].strip()):
        return
    raise FileError(f"{where}: user={word!r} is not a decision; write keep, drop, pin:GROUP, or nothing")
