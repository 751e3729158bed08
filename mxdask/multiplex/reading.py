"""Integrated data from any number of files; a damaged one does not keep the others from being used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mxdask.errors import FileError, MxdaskError, ParameterError
from mxdask.io.experiments import load
from mxdask.models import ExperimentList
from mxdask.table import ReflectionTable


def read_all(files: Sequence[str]) -> tuple[ExperimentList, ReflectionTable, dict[str, str]]:
    """Experiments and reflections of all files, and file → reason of those that cannot be read.

    With as many .refl as .expt files they are read in pairs, so that a bad pair is only a line in the table.

    Raises
    ------
    ParameterError : the words are not .expt and .refl files, or one kind is missing.
    FileError : nothing can be read.
    """
    expt = [f for f in files if f.endswith((".expt", ".json"))]
    refl = [f for f in files if f.endswith((".refl", ".pickle", ".h5")) and f not in expt]
    unknown = [f for f in files if f not in expt and f not in refl]
    if unknown:
        raise ParameterError(f"{unknown[0]}: neither .expt nor .refl; `mxdask multiplex --help` tells what is needed")
    if not expt or not refl:
        raise ParameterError("give integrated.expt and integrated.refl files; see `mxdask multiplex --help`")
    try:
        experiments, table = load(expt, refl)
        assert table is not None
        return experiments, table, {}
    except FileError:
        if len(expt) != len(refl) or len(expt) == 1:
            raise
    good_expt, good_refl, bad = [], [], {}
    for e, r in zip(expt, refl, strict=True):
        try:
            load([e], [r])
        except MxdaskError as error:
            bad[Path(e).name if str(error).startswith(e) else f"{e} {r}"] = str(error)
        else:
            good_expt.append(e)
            good_refl.append(r)
    if not good_expt:
        raise FileError("; ".join(bad.values()))
    experiments, table = load(good_expt, good_refl)
    assert table is not None
    return experiments, table, bad
