"""The loop: look, process what is new, bring the result up to date, tell; it can be killed and started at any time."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mxdask.errors import MxdaskError
from mxdask.flow import Flow
from mxdask.multiplex.run import DECISIONS, Result
from mxdask.watching.folder import GROWING, Folder, Sweep
from mxdask.watching.history import History
from mxdask.watching.page import write_data, write_page
from mxdask.watching.params import Params, Until
from mxdask.watching.records import Record, key_of
from mxdask.watching.rounds import Rounds
from mxdask.watching.together import combine, current_state, fates, with_common, without_files

log = logging.getLogger(__name__)

_HEARTBEAT = 10.0  # s between signs of life on the page


class Watcher:
    """What is known of a watched folder. All of it is in files, too: a watcher that is killed loses nothing.

    Parameters
    ----------
    watched : the folder with the images. out : where everything goes.
    """

    def __init__(self, watched: Path, out: Path, params: Params, flow: Flow) -> None:
        self.watched, self.out, self.params, self.flow = watched, out, params, flow
        self.folder = Folder(watched, params.pattern, params.settle, params.patience, ignored=out)
        self.rounds = Rounds(out, params, flow)
        self.history = History(out / "history.jsonl")
        self.combined = with_common(params.multiplex, params.process)
        self.sweeps: list[Sweep] = []
        self.records: dict[str, Record] = {}
        self.trouble = ""
        self._told = 0.0

    def run(self) -> None:
        """Watch until the stop condition holds.

        Raises
        ------
        MxdaskError : somebody else watches into the same output folder; the folder cannot be listed.
        """
        until = Until.of(self.params.until)
        with only_one(self.out):
            write_page(self.out)
            log.info("watching %s; open %s in a browser", self.watched, self.out / "watch.html")
            last_change = time.monotonic()
            while True:
                if self.update():
                    last_change = time.monotonic()
                if self._is_over(until, time.monotonic() - last_change):
                    break
                time.sleep(self.params.interval)
            self._finish()

    def update(self) -> bool:
        """One look at the folder and all that follows from it; whether anything changed."""
        before = self.sweeps
        self.sweeps = self.folder.look()
        ready = [s for s in self.sweeps if s.is_ready]
        changed, waiting = before != self.sweeps, 1
        while waiting:
            self.records, waiting = self.rounds.next(ready)
            changed |= self._bring_up_to_date()
            self._tell("processing" if waiting else "watching", always=changed)
        return changed

    def _bring_up_to_date(self) -> bool:
        """Statistics and groups of the sweeps that are done, unless the last line of the history tells them."""
        good = self._good()
        key = key_of([f"{n} {self.records[n].key}" for n in good], self.combined.model_dump_json(), self._wishes())
        last = self.history.last or {"key": "", "sweeps": []}
        if last["key"] == key or not (good or last["sweeps"]):
            return False
        begin = time.perf_counter()
        entry: dict[str, Any] = {"fates": {}}
        self.trouble = ""
        if good:
            try:
                entry = self._combined(good, files=False)
            except MxdaskError as error:
                self.trouble = str(error)
                log.warning("%s", error)
        entry |= {
            "time": time.time(), "key": key, "sweeps": good, "trouble": self.trouble, "n_sweeps": len(self.sweeps),
            "n_integrated": len(good), "seconds": round(time.perf_counter() - begin, 2),
            "new": sorted(set(good) - set(last["sweeps"])), "gone": sorted(set(last["sweeps"]) - set(good)),
        }  # fmt: skip
        self.history.append(entry)
        log.info("%s", headline(entry))
        return True

    def _combined(self, good: list[str], *, files: bool) -> dict[str, Any]:
        folders = [self.out / "sweeps" / name for name in sorted(good)]
        params = self.combined if files else without_files(self.combined)
        result: Result = combine(folders, params, self.out, self.flow)
        if files and params.output.html is not None:
            from mxdask.multiplex.report import write_page as write_report

            write_report(self.out / params.output.html, result)
        return current_state(result) | {"fates": fates(result)}

    def _good(self) -> list[str]:
        return [s.name for s in self.sweeps if s.name in self.records and self.records[s.name].ok]

    def _wishes(self) -> str:
        """What the user wrote into the table of decisions."""
        try:
            with open(self.out / DECISIONS, newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error):
            return ""
        return "; ".join(sorted(f"{r.get('identifier')}={r['user']}" for r in rows if (r.get("user") or "").strip()))

    def _is_over(self, until: Until, idle: float) -> bool:
        growing = any(s.state == GROWING for s in self.sweeps)
        if until.kind == "once":
            return not growing
        if until.kind == "sweeps":
            return len(self._good()) >= until.amount
        return until.kind == "idle" and not growing and idle >= until.amount

    def _finish(self) -> None:
        """Data sets with all their files, now that nothing more is to come."""
        good = self._good()
        if good and self.combined.clustering.output_clusters:
            try:
                self._combined(good, files=True)
            except MxdaskError as error:
                log.warning("%s", error)
        self._tell("ended", always=True)

    def _tell(self, state: str, *, always: bool) -> None:
        if always or time.monotonic() - self._told >= _HEARTBEAT:
            write_data(self.out, state, self.watched, self.sweeps, self.records, self.history)
            self._told = time.monotonic()


def headline(entry: dict[str, Any]) -> str:
    """A line of the history in words."""
    if entry["trouble"]:
        return f"{entry['n_integrated']} sweeps integrated, but: {entry['trouble']}"
    parts = [f"{entry['n_integrated']} of {entry['n_sweeps']} sweeps integrated"]
    if entry.get("completeness") is not None:
        parts.append(f"{entry['space_group']}, completeness {entry['completeness']:.1f} %")
        parts.append(f"multiplicity {entry['multiplicity']:.1f}")
    if entry.get("CC_half") is not None:
        parts.append(f"CC½ {entry['CC_half']:.3f}")
    if entry.get("d_min"):
        parts.append(f"to {entry['d_min']:.2f} Å")
    if entry.get("groups"):
        parts.append(f"groups of {' + '.join(str(n) for n in entry['groups'].values())}")
    return ", ".join(parts)


@contextlib.contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Keep others from writing into the same folder while the block runs.

    Raises
    ------
    MxdaskError : somebody does already.
    """
    folder = out / ".mxdask"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "watch.lock", "w") as file:  # the lock ends with the process, however that ends
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MxdaskError(
                f"{out}: another mxdask watch writes here; stop it or take another --output-dir"
            ) from None
        except OSError:  # a file system without locks
            log.debug("%s: no locks here", out)
        yield
