"""What the user can set for ``mxdask watch``."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, field_validator

from mxdask import pipeline_params
from mxdask.multiplex import params as multiplex_params
from mxdask.params import StepParams


class Calibration(StepParams):
    """The geometry that all sweeps of one instrument setting are processed with."""

    sweeps: int = Field(
        10,
        ge=0,
        description="learn beam and detector from the first so many sweeps that can be indexed, then hold them; "
        "0: every sweep has a geometry of its own",
    )


@dataclass(frozen=True)
class Until:
    """When to stop: never (``kind`` "stopped"), when nothing is left to do ("once"), after ``amount`` seconds without
    anything new ("idle"), with ``amount`` sweeps processed ("sweeps").
    """

    kind: str
    amount: float = 0.0

    @classmethod
    def of(cls, word: str) -> Until:
        """From ``stopped``, ``once``, ``idle:600`` or ``sweeps:30``; ValueError for anything else."""
        kind, _, amount = word.strip().lower().partition(":")
        if kind in ("stopped", "once") and not amount:
            return cls(kind)
        if kind in ("idle", "sweeps"):
            try:
                value = float(amount)
            except ValueError:
                value = 0.0
            if value > 0:
                return cls(kind, value)
        raise ValueError("give stopped, once, idle:SECONDS or sweeps:NUMBER")


class Params(StepParams):
    """Watching a folder. ``process`` has the parameters of all steps up to integration, ``multiplex`` those after."""

    pattern: tuple[str, ...] = Field(
        (), description="names of image files to take, as *_master.h5; Auto: all image files in folder and subfolders"
    )
    interval: float = Field(
        2.0, gt=0, description="time between two looks at the folder", json_schema_extra={"unit": "s"}
    )
    settle: float = Field(
        2.0, ge=0, description="a sweep is complete when its files have not changed for so long",
        json_schema_extra={"unit": "s"},
    )  # fmt: skip
    patience: float = Field(
        60.0, ge=0, description="an incomplete sweep that has not grown for so long is processed as far as it goes",
        json_schema_extra={"unit": "s"},
    )  # fmt: skip
    until: str = Field(
        "stopped",
        description="when to end: stopped (by the user), once (what is there is done), idle:SECONDS, sweeps:N",
    )
    calibration: Calibration = Calibration()
    process: pipeline_params.Params = pipeline_params.Params()
    multiplex: multiplex_params.Params = multiplex_params.Params()

    @field_validator("until")
    @classmethod
    def _known_word(cls, until: str) -> str:
        Until.of(until)
        return until
