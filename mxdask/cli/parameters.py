"""Which parameter model a command has."""

from __future__ import annotations

import importlib

from mxdask.params import StepParams

_MODELS = {
    "process": "mxdask.pipeline_params",
    "demo": "mxdask.simulate.params",
    "convert": "mxdask.cli.convert",
    "import": "mxdask.importing.params",
    "find_spots": "mxdask.spots.params",
    "index": "mxdask.index.params",
    "refine": "mxdask.refine.params",
    "integrate": "mxdask.integrate.params",
    "cosym": "mxdask.cosym.params",
    "symmetry": "mxdask.symmetry.params",
    "scale": "mxdask.scale.params",
    "merge": "mxdask.merge.params",
    "export": "mxdask.merge.params",
}


def parameters_of(command: str) -> type[StepParams] | None:
    """The ``Params`` model of a command; None for commands without parameters."""
    if command not in _MODELS:
        return None
    name = "ExportParams" if command == "export" else "Params"
    model: type[StepParams] = getattr(importlib.import_module(_MODELS[command]), name)
    return model
