"""``mxdask show``: what a file holds, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mxdask.cli.dispatch import Words
from mxdask.errors import ParameterError
from mxdask.flow import Flow
from mxdask.io.expt import read_expt
from mxdask.io.refl import read_refl
from mxdask.models import Crystal, Detector, Experiment, ExperimentList, Goniometer
from mxdask.params import parse
from mxdask.table import Flag, ReflectionTable
from mxdask.text import text_table


def run_show(command: str, words: Words) -> None:
    """Print experiment lists, reflection tables, or the headers of images."""
    if not words.files:
        raise ParameterError("no file given")
    images = []
    for name in words.files:
        if name.endswith((".expt", ".json")):
            print(f"{name}\n{describe_experiments(read_expt(name))}\n")
        elif name.endswith((".refl", ".pickle")):
            print(f"{name}\n{describe_table(read_refl(name))}\n")
        elif name.lower().endswith((".mtz", ".hkl", ".sca", ".cif")):
            raise ParameterError(f"{name}: show takes .expt, .refl and image files; `gemmi mtz` shows merged data")
        else:
            images.append(name)
    if images:
        from mxdask.importing.params import Params
        from mxdask.importing.step import run

        params = parse(Params, words.assignments)
        assert isinstance(params, Params)
        experiments, _ = run([Path(f) for f in images], params, flow=Flow("sync"))
        print(describe_experiments(experiments))


def describe_experiments(experiments: ExperimentList) -> str:
    """Text for every experiment; models shared with an earlier one are named, not repeated."""
    seen: dict[int, int] = {}
    parts = []
    for row, experiment in enumerate(experiments):
        lines = [f"Experiment {row}: {experiment.name}  {experiment.identifier}"]
        for kind, text in _models(experiment):
            model = getattr(experiment, kind)
            if id(model) in seen:
                lines.append(f"  {kind.capitalize()}: as experiment {seen[id(model)]}")
            else:
                seen[id(model)] = row
                lines += ["  " + line for line in text.splitlines()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _models(experiment: Experiment) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    if experiment.imageset is not None:
        out.append(("imageset", f"Images: {experiment.imageset.template or ', '.join(experiment.imageset.paths[:3])}"))
    if experiment.beam is not None:
        b = experiment.beam
        out.append(
            ("beam", f"Beam: wavelength {b.wavelength:.6g} Å, direction {_v(b.direction)}, "
             f"polarisation {b.polarization_fraction:.4g} about {_v(b.polarization_normal)}")
        )  # fmt: skip
    if experiment.detector is not None:
        out.append(("detector", _detector(experiment.detector)))
    if experiment.goniometer is not None:
        out.append(("goniometer", _goniometer(experiment.goniometer)))
    if experiment.scan is not None:
        s = experiment.scan
        start, end = s.oscillation_range
        out.append(
            (
                "scan",
                f"Scan: images {s.image_range[0]}-{s.image_range[1]}, {start:.4f}° to {end:.4f}°, {s.width:.4f}° each",
            )
        )
    if experiment.crystal is not None:
        out.append(("crystal", _crystal(experiment.crystal)))
    if experiment.profile is not None:
        out.append(("profile", f"Profile: {_short(experiment.profile)}"))
    if experiment.scaling_model is not None:
        out.append(("scaling_model", f"Scaling model: {experiment.scaling_model.get('__id__', '?')}"))
    return out


def _detector(detector: Detector) -> str:
    lines = [f"Detector: {len(detector)} panel(s)"]
    for p in detector.panels[:4]:
        lines.append(
            f"  {p.name}: {p.image_size[0]} × {p.image_size[1]} px of {p.pixel_size[0]:.4g} × {p.pixel_size[1]:.4g} mm,"
            f" trusted {p.trusted_range[0] + 0.0:g} to {p.trusted_range[1]:g}"
        )
        lines.append(
            f"    fast {_v(p.fast_axis)} slow {_v(p.slow_axis)} origin {_v(p.origin)} mm, distance {p.distance:.3f} mm"
        )
        if p.mu:
            lines.append(f"    {p.material} {p.thickness:.4g} mm, mu {p.mu:.5g} /mm, {p.px_mm_strategy}")
    if len(detector) > 4:
        lines.append(f"  ... {len(detector) - 4} more")
    return "\n".join(lines)


def _goniometer(g: Goniometer) -> str:
    if g.axes is None or g.angles is None:
        return f"Goniometer: axis {_v(g.rotation_axis)}"
    axes = ", ".join(f"{n} {_v(a)} at {x:.4f}°" for n, a, x in zip(g.names, g.axes, g.angles, strict=True))
    return f"Goniometer: {axes}; scan axis {g.names[g.scan_axis]}"


def _crystal(c: Crystal) -> str:
    # "Unit cell:" on a line of its own, with the parameters in parentheses: scripts of DIALS users look for it.
    esds = c.cell_esds()
    cell = ", ".join(
        f"{x:.4f}" if s is None else f"{x:.4f}±{s:.4f}"
        for x, s in zip(c.cell, [None] * 6 if esds is None else esds[:6], strict=True)
    )
    lines = ["Crystal:", f"  Unit cell: ({cell})", f"  Space group: {c.space_group.hm}"]
    lines += [f"  {name}: " + "; ".join(_v(row) for row in matrix) for name, matrix in (("U", c.U), ("B", c.B))]
    if c.A_at_scan_points is not None:
        lines.append(f"  A at {len(c.A_at_scan_points)} scan points")
    return "\n".join(lines)


def describe_table(table: ReflectionTable) -> str:
    """Number of rows, flags, and the range of every column."""
    rows: list[list[Any]] = []
    for name in sorted(table):
        if len(table) == 0 or name == "flags":
            continue
        values = np.asarray(table[name], dtype=float).reshape(len(table), -1)
        low, mean, high = values.min(axis=0), values.mean(axis=0), values.max(axis=0)
        rows.append([name, *(", ".join(f"{x:.4g}" for x in part) for part in (low, mean, high))])
    lines = [f"{len(table)} reflections of {len(table.identifiers)} experiment(s)"]
    lines.append(text_table(["column", "min", "mean", "max"], rows))
    if "flags" in table and len(table):
        counts = [[f.name.lower(), int(table.has_flags(f).sum())] for f in Flag if f.name and bin(f).count("1") == 1]
        lines += ["", text_table(["flag", "rows"], [c for c in counts if c[1]])]
    return "\n".join(lines)


def _v(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.6g}" for x in values) + ")"


def _short(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{k}={v:.5g}" if isinstance(v, float) else f"{k}={v}" for k, v in values.items() if not isinstance(v, list)
    )
