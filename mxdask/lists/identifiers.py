"""New experiment identifiers."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from mxdask.errors import ParameterError
from mxdask.models import ExperimentList, new_identifier
from mxdask.params import StepParams
from mxdask.table import ReflectionTable


class Output(StepParams):
    experiments: str = Field("assigned.expt", description="File of the experiments")
    reflections: str = Field("assigned.refl", description="File of the reflections")


class Params(StepParams):
    """Parameters of assign_experiment_identifiers."""

    identifiers: tuple[str, ...] = Field((), description="One for each experiment, in order; Auto: random ones")
    output: Output = Output()


def assign_identifiers(
    experiments: ExperimentList, reflections: ReflectionTable | None, identifiers: Sequence[str] = ()
) -> tuple[ExperimentList, ReflectionTable | None]:
    """Experiments with new identifiers, and the table that knows them.

    Raises
    ------
    ParameterError : not as many identifiers as experiments, or two are equal.
    """
    names = list(identifiers) or [new_identifier() for _ in experiments]
    if len(names) != len(experiments):
        raise ParameterError(f"{len(names)} identifiers for {len(experiments)} experiments; give one for each")
    if len(set(names)) < len(names):
        raise ParameterError("identifiers= must differ from each other")
    new = experiments.with_experiments([e.evolve(identifier=n) for e, n in zip(experiments, names, strict=True)])
    if reflections is None:
        return new, None
    table = reflections.copy()
    table.identifiers = dict(enumerate(names))
    return new, table
