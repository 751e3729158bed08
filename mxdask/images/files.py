"""Which files a list of experiments reads its pixels and masks from."""

from __future__ import annotations

from mxdask.errors import FileError
from mxdask.images.hdf5_layout import image_segments
from mxdask.images.stack import HDF5_SUFFIXES
from mxdask.io.templates import image_path
from mxdask.models import Experiment, ExperimentList, ImageSet


def image_files(experiments: ExperimentList) -> list[str]:
    """Names of all image, data and look-up files, sorted; whether they exist is not looked at."""
    names: set[str] = set()
    for experiment in experiments:
        if experiment.imageset is not None:
            names.update(_files(experiment.imageset, experiment))
    return sorted(names)


def _files(imageset: ImageSet, experiment: Experiment) -> list[str]:
    lookups = [f for f in (imageset.mask, imageset.gain, imageset.pedestal, imageset.dx, imageset.dy) if f]
    if not imageset.template:
        return [*lookups, *imageset.paths]
    if "#" in imageset.template and experiment.scan is not None:
        first, last = experiment.scan.image_range
        return [*lookups, *(image_path(imageset.template, n) for n in range(first, last + 1))]
    if imageset.template.lower().endswith(HDF5_SUFFIXES):
        try:
            return [*lookups, imageset.template, *(s.path for s in image_segments(imageset.template)[0])]
        except FileError:  # said by whoever reads the pixels; here the master's own state is enough
            return [*lookups, imageset.template]
    return [*lookups, imageset.template]
