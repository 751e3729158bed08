"""``watch.html``: a page that a browser keeps open; it takes the numbers from ``watch-data.js`` again and again.

Both are plain files: no server is needed, and nothing is fetched from anywhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from mxdask import __version__
from mxdask.io.atomic import replacing
from mxdask.io.json_files import plain
from mxdask.watching.folder import Sweep
from mxdask.watching.history import History
from mxdask.watching.records import Record

PAGE, DATA = "watch.html", "watch-data.js"
# What is plotted against time.
_CURVES = (
    "time", "n_sweeps", "n_integrated", "n_crystals", "completeness", "multiplicity", "CC_half", "I_over_sigma",
    "d_min", "groups",
)  # fmt: skip
_NUMBERS = ("n_images", "n_spots", "percent_indexed", "cell", "n_integrated", "i_over_sigma", "note")


def write_page(out: Path) -> None:
    """The page itself, which stays as it is."""
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / PAGE) as temporary:
        temporary.write_text(files("mxdask.watching").joinpath("watch.html").read_text(encoding="utf-8"), "utf-8")


def write_data(
    out: Path,
    state: str,
    watched: Path,
    sweeps: Sequence[Sweep],
    records: Mapping[str, Record],
    history: History,
) -> None:
    """What the page shows, as a call of its function."""
    last = history.last or {}
    content = {
        "state": state, "written": time.time(), "folder": str(watched), "version": __version__,
        "now": {k: v for k, v in last.items() if k not in ("fates", "sweeps", "key")},
        "curves": {name: [line.get(name) for line in history.lines] for name in _CURVES},
        "rows": [sweep_row(s, records.get(s.name), last.get("fates") or {}) for s in sweeps],
    }  # fmt: skip
    text = json.dumps(plain(content), separators=(",", ":")).replace("</", "<\\/")
    with replacing(out / DATA) as temporary:
        temporary.write_text(f"show({text});\n", encoding="utf-8")


def sweep_row(sweep: Sweep, record: Record | None, fates: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """One sweep as the table shows it: state, numbers, group, and the reason where it did not go the usual way."""
    row: dict[str, Any] = {"name": sweep.name, "finished": sweep.finished / 1e9}
    if not sweep.is_ready:
        return row | {"state": sweep.state, "reason": sweep.reason}
    if record is None:
        return row | {"state": "waiting", "reason": sweep.reason}
    row |= {name: record.numbers.get(name) for name in _NUMBERS}
    if not record.ok:
        return row | {"state": "failed", "reason": record.reason}
    found = [fates[i] for i in record.numbers["identifiers"] if i in fates]
    told = found[0] if found else {"fate": "integrated", "form": "", "group": "", "reason": ""}
    reasons = [sweep.reason, record.numbers.get("note") or "", *(f["reason"] for f in found)]
    return row | {
        "state": told["fate"], "group": told["group"], "form": told["form"],
        "reason": "; ".join(dict.fromkeys(r for r in reasons if r)),
    }  # fmt: skip
