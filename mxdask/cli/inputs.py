"""The experiments and reflections that a command's words name."""

from __future__ import annotations

from mxdask.cli.dispatch import Words
from mxdask.errors import ParameterError
from mxdask.io.experiments import load
from mxdask.models import ExperimentList
from mxdask.step_input import check_input
from mxdask.table import ReflectionTable


def read_inputs(
    command: str, words: Words, *, reflections: bool = True, check: bool = True
) -> tuple[ExperimentList, ReflectionTable | None]:
    """Read the ``.expt`` and ``.refl`` files among the words, paired as ``mxdask.io.experiments.load`` does.

    Parameters
    ----------
    reflections : whether the command cannot do without a reflection file.
    check : whether they must hold what the command needs (:func:`mxdask.step_input.check_input`).

    Raises
    ------
    ParameterError : a file is neither, or a kind that is needed is not there.
    MxdaskError : a model, a column or all reflections are missing.
    """
    expt = [f for f in words.files if f.endswith((".expt", ".json"))]
    refl = [f for f in words.files if f.endswith((".refl", ".pickle", ".h5")) and f not in expt]
    unknown = [f for f in words.files if f not in expt and f not in refl]
    if unknown:
        raise ParameterError(f"{unknown[0]}: neither .expt nor .refl; `mxdask {command} --help` tells what is needed")
    if not expt:
        raise ParameterError(f"no .expt file given; `mxdask {command} --help` tells what is needed")
    if reflections and not refl:
        raise ParameterError(f"no .refl file given; `mxdask {command} --help` tells what is needed")
    experiments, table = load(expt, refl)
    if check:
        check_input(command, experiments, table)
    return experiments, table
