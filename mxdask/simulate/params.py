"""What a simulated set is made of: everything random follows from these numbers and the seed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from mxdask.params import StepParams

Cell = tuple[float, float, float, float, float, float]
BAD_KINDS = ("weak", "blank", "damaged")


def _unit(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)


class Structure(StepParams):
    """The crystal structure: unique intensities drawn from Wilson's distributions."""

    space_group: str = _unit("I 21 3", "space group (Hermann-Mauguin)")
    cell: Cell = _unit((78.0, 78.0, 78.0, 90.0, 90.0, 90.0), "mean unit cell", "Å, degrees")
    wilson_b: float = _unit(15.0, "overall B factor of the structure", "Å²", ge=0)
    species: int = _unit(1, "number of variants of the structure; crystals take them in turn", ge=1)
    species_cc: float = _unit(0.98, "correlation of the normalised intensities of two variants", gt=0, le=1)


class Crystals(StepParams):
    """How the crystals differ from one another."""

    count: int = _unit(6, "number of crystals", ge=1)
    cell_spread: float = _unit(0.0005, "relative standard deviation of the cell from crystal to crystal", ge=0)
    scale_range: tuple[float, float] = _unit((0.5, 1.5), "lowest and highest scale (diffracting volume)")
    b_range: tuple[float, float] = _unit((0.0, 5.0), "lowest and highest B factor added to the structure's", "Å²")
    mosaicity_range: tuple[float, float] = _unit((0.045, 0.09), "lowest and highest rocking width sigma_M", "degrees")
    divergence: float = _unit(0.022, "sigma_D, angular width of a spot", "degrees", gt=0)
    spot_size: float = _unit(0.022, "standard deviation of the crystal's image on the detector", "mm", ge=0)
    scatter: float = _unit(0.05, "random displacement of every spot (what no model predicts)", "px", ge=0)
    drift: float = _unit(0.02, "typical change of orientation over a sweep", "degrees", ge=0)
    decay_b: float = _unit(0.008, "typical growth of B per image", "Å²", ge=0)
    volume_variation: float = _unit(0.03, "smooth relative variation of the illuminated volume during a sweep", ge=0)
    bad: tuple[str, ...] = _unit((), "crystals that are not good, as c03:weak,c05:blank,c06:damaged")

    @field_validator("bad")
    @classmethod
    def _known_kinds(cls, bad: tuple[str, ...]) -> tuple[str, ...]:
        for word in bad:
            name, _, kind = word.partition(":")
            if kind not in BAD_KINDS or not (name.startswith("c") and name[1:].isdigit()):
                raise ValueError(f"{word!r} is not c<number>:<{'|'.join(BAD_KINDS)}>")
        return bad


class Sweep(StepParams):
    """The rotation of each crystal."""

    images: int = _unit(50, "number of images", ge=1)
    width: float = _unit(0.1, "rotation per image", "degrees", gt=0)
    start: float | None = _unit(None, "angle at the start of the first image; Auto: random per crystal", "degrees")
    chi: float | None = _unit(None, "angle of a second axis between crystal and omega; Auto: there is none", "degrees")
    exposure: float = _unit(0.01, "time per image", "s", gt=0)
    flux_noise: float = _unit(0.005, "relative variation of the beam from image to image", ge=0)
    images_per_file: int = _unit(1000, "images per data file", ge=1)


class Beam(StepParams):
    """The beam, and what it scatters from besides the crystal."""

    wavelength: float = _unit(0.6199, "wavelength", "Å", gt=0)
    polarization_fraction: float = _unit(0.999, "fraction of polarisation in the plane normal to Y", ge=0, le=1)
    counts: float = _unit(450.0, "mean counts of a reflection of a crystal with scale 1", "counts", ge=0)
    background: float = _unit(0.5, "background at the water ring", "counts/px", ge=0)


class DetectorKind(StepParams):
    """The detector; ``geometry_error`` separates what the headers say from where it is."""

    size: Literal["512", "500K", "1M", "4M", "9M", "16M"] = _unit("1M", "number of pixels")
    distance: float = _unit(101.0, "distance in the headers", "mm", gt=0)
    pixel: float = _unit(0.075, "edge of a pixel", "mm", gt=0)
    sensor: Literal["CdTe", "Si"] = _unit("CdTe", "sensor material")
    thickness: float = _unit(0.75, "sensor thickness", "mm", gt=0)
    bits: Literal[16, 32] = _unit(16, "bits per pixel of the data files")
    saturation: int = _unit(46000, "counts at which a pixel stops being a measurement", "counts", gt=0)
    hot: int = _unit(5, "pixels that count by themselves and are not in the mask", ge=0)
    dead: int = _unit(5, "pixels that never count and are not in the mask", ge=0)
    geometry_error: float = _unit(1.0, "size of the errors in the headers (1: about 0.05 mm and 1 mrad; 0: none)", ge=0)


class SimulatedSet(StepParams):
    """A set of rotation sweeps, one per crystal, with known truth."""

    name: str = _unit("demo", "name of the set, and start of its files' names")
    seed: int = _unit(3, "everything random follows from it", ge=0)
    structure: Structure = Structure()
    crystals: Crystals = Crystals()
    sweep: Sweep = Sweep()
    beam: Beam = Beam()
    detector: DetectorKind = DetectorKind()

    def crystal_name(self, index: int) -> str:
        """c01, c02, … of the index counted from 0."""
        return f"c{index + 1:02d}"

    def sweep_name(self, index: int) -> str:
        """Name of the master file without its suffix."""
        return f"{self.name}_{self.crystal_name(index)}"

    def badness(self, index: int) -> str:
        """One of :data:`BAD_KINDS`, or "" for a good crystal."""
        return dict(word.partition(":")[::2] for word in self.crystals.bad).get(self.crystal_name(index), "")


class Params(SimulatedSet):
    """The set of ``mxdask demo``, as its command line sets it: five insulin-like crystals and a shot that missed."""

    crystals: Crystals = Crystals(bad=("c06:blank",))


def demo() -> SimulatedSet:
    """The demo's set as it is without any word from the user."""
    return Params()


def quick() -> SimulatedSet:
    """Two crystals on a small detector, a second's work: for tests."""
    return SimulatedSet(
        name="quick",
        crystals=Crystals(count=2),
        sweep=Sweep(images=20, width=0.2),
        beam=Beam(wavelength=0.9763),
        detector=DetectorKind(size="512", distance=40.0),
    )


def benchmark(size: Literal["1M", "4M", "9M", "16M"] = "4M", crystals: int = 2, images: int = 50) -> SimulatedSet:
    """Sweeps on a large detector, the distance grown with its width so that the resolution stays."""
    distance = {"1M": 101.0, "4M": 200.0, "9M": 300.0, "16M": 400.0}[size]
    return SimulatedSet(
        name=f"bench_{size.lower()}",
        crystals=Crystals(count=crystals),
        sweep=Sweep(images=images),
        detector=DetectorKind(size=size, distance=distance),
    )
