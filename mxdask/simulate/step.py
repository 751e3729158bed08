"""Make a simulated set: one task per crystal, and the truth of all in one file."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from mxdask.errors import MxdaskError
from mxdask.flow import Failed, Flow
from mxdask.simulate import nxmx
from mxdask.simulate.crystals import true_crystal
from mxdask.simulate.instrument import build, goniometer
from mxdask.simulate.params import SimulatedSet
from mxdask.simulate.predict import predict
from mxdask.simulate.render import frames, touches_bad_pixels
from mxdask.simulate.truth import TrueSweep, write_truth

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MadeSet:
    """Where the files of a set are: master files in order of the crystals, and the truth."""

    masters: tuple[Path, ...]
    truth: Path


def make(sim: SimulatedSet, folder: str | Path, flow: Flow | None = None) -> MadeSet:
    """Write the images of a set as NXmx files and what is true about it as ``truth.h5``.

    The same set gives the same files, whatever the scheduler.

    Raises
    ------
    MxdaskError : a crystal could not be made (no space left, folder not writable …).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    items = [(sim, index, str(folder)) for index in range(sim.crystals.count)]
    if flow is None:
        sweeps: list[TrueSweep | Failed] = [make_crystal(*item) for item in items]
    else:
        sweeps = flow.map(make_crystal, items, name="simulate")
    made = []
    for index, sweep in enumerate(sweeps):
        if isinstance(sweep, Failed):
            raise MxdaskError(f"{sim.sweep_name(index)}: {sweep.reason}")
        made.append(sweep)
    truth = folder / "truth.h5"
    write_truth(truth, sim, made)
    masters = tuple(folder / f"{sim.sweep_name(i)}.nxs" for i in range(sim.crystals.count))
    log.info(
        "simulated %d crystals of %s, %d images of %g° each, in %s",
        sim.crystals.count, sim.structure.space_group, sim.sweep.images, sim.sweep.width, folder,
    )  # fmt: skip
    return MadeSet(masters, truth)


def make_crystal(sim: SimulatedSet, index: int, folder: str) -> TrueSweep:
    """Write one crystal's images; give back what is true about them."""
    instrument = build(sim)
    crystal = true_crystal(sim, index)
    reflections = predict(sim, crystal, index)
    headers = nxmx.Headers(
        beam=instrument.beam, panel=instrument.header_detector[0], mask=instrument.mask, goniometer=goniometer(sim),
        n_images=sim.sweep.images, start=crystal.start, width=sim.sweep.width, exposure=sim.sweep.exposure,
        bits=sim.detector.bits,
    )  # fmt: skip
    images = frames(sim, instrument, crystal, index, reflections)
    nxmx.write_sweep(Path(folder), sim.sweep_name(index), images, headers, images_per_file=sim.sweep.images_per_file)
    return TrueSweep(crystal, reflections, touches_bad_pixels(instrument, reflections))
