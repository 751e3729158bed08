"""Sweeps processed round by round: which are new, which changed, which need doing again with another calibration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mxdask.flow import Failed, Flow
from mxdask.watching.calibration import Calibration, calibrate, how_many
from mxdask.watching.folder import Sweep
from mxdask.watching.params import Params
from mxdask.watching.processing import Job, find_lattice, integrate_sweep
from mxdask.watching.records import Record

log = logging.getLogger(__name__)

# Sweeps of one round: with many waiting, as many as are done already, so that bringing the result up to date between
# rounds stays a small part of the work; and enough for the calibration, so that they are not done twice.
_LEAST_ROUND = 4


class Rounds:
    """Processes sweeps into ``out/sweeps/NAME``; what is there already and still holds is not done again."""

    def __init__(self, out: Path, params: Params, flow: Flow) -> None:
        self.out, self.params, self.flow = out, params, flow
        self.calibrations: dict[str, Calibration] = {}

    def job(self, sweep: Sweep) -> Job:
        return Job(sweep.name, sweep.files, sweep.stamp, str(self.out / "sweeps" / sweep.name))

    def next(self, ready: Sequence[Sweep]) -> tuple[dict[str, Record], int]:
        """Process some sweeps that are new, and all whose calibration changed.

        Parameters
        ----------
        ready : all complete sweeps, in the order in which they were finished.

        Returns
        -------
        Name → record of all sweeps that are done by now, and how many still wait for a round.
        """
        params = self.params.process
        first: dict[str, Record] = {}
        new = []
        for sweep in ready:
            job = self.job(sweep)
            record = _known(job.first, job.key_of_first(params))
            if record is None:
                new.append(sweep)
            else:
                first[sweep.name] = record
        now = new[: max(_LEAST_ROUND * self.flow.n_workers, self.params.calibration.sweeps + 2, len(first))]
        first |= self._do(find_lattice, [(sweep, (self.job(sweep), params)) for sweep in now], alone=True)
        known = [s for s in ready if s.name in first]
        self.calibrations = self._calibrate(known, first)
        records: dict[str, Record] = {}
        again = []
        for sweep in known:
            record, job = first[sweep.name], self.job(sweep)
            if not record.ok:
                records[sweep.name] = record
                continue
            calibration = self.calibrations.get(record.numbers["instrument"])
            second = _known(Path(job.folder), job.key_of_second(params, calibration))
            if second is None:
                again.append((sweep, (job, params, calibration)))
            else:
                records[sweep.name] = second
        records |= self._do(integrate_sweep, again, alone=False)
        return records, len(new) - len(now)

    def _do(
        self, function: Callable[..., Record], work: Sequence[tuple[Sweep, tuple[Any, ...]]], *, alone: bool
    ) -> dict[str, Record]:
        """Records by name. Several sweeps are a task each; a single one is itself spread over the workers."""
        out: dict[str, Record] = {}
        for (sweep, (job, *rest)), result in zip(work, self._results(function, work, alone=alone), strict=True):
            if isinstance(result, Failed):
                log.debug("%s", result.detail)
                stage = job.first if alone else Path(job.folder)
                key = job.key_of_first(*rest) if alone else job.key_of_second(*rest)
                result = Record(key, False, result.reason)
                result.write(stage / "record.json")
            out[sweep.name] = result
            if not result.ok:
                log.info("%s: %s", sweep.name, result.reason)
            elif not alone:
                n, ratio = result.numbers["n_integrated"], result.numbers["i_over_sigma"] or 0.0
                log.info("%s: %d reflections integrated, I/σ %.1f, %.1f s", sweep.name, n, ratio, result.seconds)
        return out

    def _results(
        self, function: Callable[..., Record], work: Sequence[tuple[Sweep, tuple[Any, ...]]], *, alone: bool
    ) -> Iterator[Record | Failed]:
        if len(work) == 1 and not self.flow.is_distributed:
            ((_, arguments),) = work
            job = arguments[0]
            run_dir = job.first if alone else job.folder
            with Flow(self.flow.scheduler, n_workers=self.flow.n_workers, run_dir=run_dir) as own:
                try:
                    yield function(*arguments, own)
                except Exception as error:  # noqa: BLE001  as in a task: one sweep's trouble is not the end
                    yield Failed.of(error)
            return
        yield from self.flow.map(function, [arguments for _, arguments in work], name=function.__name__)

    def _calibrate(self, known: Sequence[Sweep], first: dict[str, Record]) -> dict[str, Calibration]:
        """Instrument setting → calibration, from the first sweeps that could be indexed by themselves."""
        candidates: dict[str, list[Sweep]] = {}
        for sweep in known:
            record = first[sweep.name]
            if record.ok and "no_lattice" not in record.numbers:
                candidates.setdefault(record.numbers["instrument"], []).append(sweep)
        out = {}
        for instrument, members in candidates.items():
            chosen = members[: how_many(len(members), self.params.calibration.sweeps)]
            if not chosen:
                continue
            sweeps = [(s.name, self.job(s).first, first[s.name].key) for s in chosen]
            folder = self.out / "calibration" / instrument
            found = calibrate(folder, sweeps, self.params.process, self.flow)
            if found is not None:
                out[instrument] = found
        return out


def _known(folder: Path, key: str) -> Record | None:
    """What was recorded for this key."""
    record = Record.read(folder / "record.json")
    return record if record is not None and record.key == key else None
