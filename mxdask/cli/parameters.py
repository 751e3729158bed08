"""Which parameter model a command has."""

from __future__ import annotations

import importlib

from mxdask.cli import COMMANDS
from mxdask.params import StepParams


def parameters_of(command: str) -> type[StepParams] | None:
    """The ``Params`` model of a command; None for commands without parameters."""
    where = COMMANDS[command].params
    if where is None:
        return None
    module, name = where.split(":")
    model: type[StepParams] = getattr(importlib.import_module(module), name)
    return model
