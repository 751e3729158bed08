"""From headers to sweeps: consecutive images with the same models are one scan (front.md 1.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from mxdask.io.image_header import ImageHeader
from mxdask.io.templates import natural_key
from mxdask.models import Beam, Detector, Goniometer, Scan

SCAN_TOLERANCE = 0.03  # of an image's width: how far start angles may be from a seamless continuation
MODEL_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Sweep:
    """One scan (or a run of stills) with its models; models that sweeps share are the same object."""

    template: str
    is_container: bool
    format: str
    beam: Beam
    detector: Detector
    goniometer: Goniometer | None
    scan: Scan
    notes: tuple[str, ...] = ()
    incomplete: str = ""
    lookups: dict[str, str] = field(default_factory=dict)


def assemble(headers: Sequence[ImageHeader], *, by_number: bool = False) -> list[Sweep]:
    """Sweeps in the order of their first file; images of one template are put in order of their numbers.

    ``by_number``: images with consecutive numbers are one sweep whatever angles their headers give.

    Equal models (within :data:`MODEL_TOLERANCE`; detector origins within 0.05 mm) become one shared object.
    """
    groups: dict[str, list[ImageHeader]] = {}
    for header in headers:
        groups.setdefault(header.template, []).append(header)
    sharing = _Sharing()
    sweeps: list[Sweep] = []
    for template, members in groups.items():
        ordered = sorted(members, key=lambda h: (h.scan.image_range[0] if h.scan else 0, natural_key(h.path)))
        runs: list[list[Sweep]] = []
        for header in ordered:
            sweep = sharing.sweep_of(header, template)
            if runs and not header.is_container and _continues(runs[-1], sweep, by_number):
                runs[-1].append(sweep)
            else:
                runs.append([sweep])
        sweeps += [_joined(run) for run in runs]
    return sweeps


Model = TypeVar("Model")


class _Sharing:
    """Hands out one object for equal models."""

    def __init__(self) -> None:
        self._known: dict[str, list[Any]] = {"beam": [], "detector": [], "goniometer": []}

    def sweep_of(self, header: ImageHeader, template: str) -> Sweep:
        """A sweep as its header says, with the models that earlier sweeps had if they are equal."""
        beam = self._shared("beam", header.beam, lambda a, b: a.is_similar_to(b, MODEL_TOLERANCE))
        detector = self._shared("detector", header.detector, lambda a, b: a.is_similar_to(b))
        goniometer = header.goniometer and self._shared("goniometer", header.goniometer, same_rotation)
        scan = header.scan or Scan((1, 1), None)
        return Sweep(
            template, header.is_container, header.format, beam, detector, goniometer, scan, header.notes,
            header.incomplete, header.lookups,
        )  # fmt: skip

    def _shared(self, kind: str, model: Model, similar: Callable[[Model, Model], bool]) -> Model:
        for known in reversed(self._known[kind]):  # the latest first: neighbours are usually alike
            if similar(known, model):
                return known
        self._known[kind].append(model)
        return model


def same_rotation(a: Goniometer, b: Goniometer) -> bool:
    """Whether two goniometers turn a crystal alike; the scan axis' own start angle belongs to the scan."""
    alike = all(
        np.all(np.abs(getattr(a, name) - getattr(b, name)) <= MODEL_TOLERANCE)
        for name in ("rotation_axis", "fixed_rotation", "setting_rotation")
    )
    return bool(alike) and a.is_multi_axis == b.is_multi_axis and a.names == b.names


def _continues(run: Sequence[Sweep], following: Sweep, by_number: bool) -> bool:
    """Whether an image is the next one of a run."""
    first, last = run[0], run[-1]
    same = all(getattr(last, k) is getattr(following, k) for k in ("beam", "detector", "goniometer"))
    if not same or following.scan.image_range[0] != last.scan.image_range[1] + 1:
        return False
    if by_number:
        return True
    if first.scan.is_still or following.scan.is_still:
        return first.scan.is_still == following.scan.is_still
    start, width = first.scan.oscillation or (0.0, 0.0)
    n_images = last.scan.image_range[1] - first.scan.image_range[0] + 1
    gap = (following.scan.oscillation_range[0] - start - width * n_images + 180.0) % 360.0 - 180.0
    tolerance = SCAN_TOLERANCE * abs(width)
    return abs(following.scan.width - width) < tolerance and abs(gap) < tolerance * n_images


def _joined(run: Sequence[Sweep]) -> Sweep:
    first = run[0]
    if len(run) == 1:
        return first
    scan = replace(
        first.scan,
        image_range=(first.scan.image_range[0], run[-1].scan.image_range[1]),
        exposure_times=_concatenated(s.scan.exposure_times for s in run),
        epochs=_concatenated(s.scan.epochs for s in run),
    )
    return replace(first, scan=scan, notes=tuple(dict.fromkeys(n for s in run for n in s.notes)))


def _concatenated(parts: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(value for part in parts for value in part)
