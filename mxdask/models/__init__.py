"""Beam, detector, goniometer, scan, crystal, experiments: small immutable values and their geometry."""

from mxdask.models.beam import Beam
from mxdask.models.crystal import Crystal
from mxdask.models.detector import Detector, Panel
from mxdask.models.experiment import Experiment, ExperimentList, ImageSet, derived_identifier, new_identifier
from mxdask.models.goniometer import Goniometer, rotation_matrix
from mxdask.models.scan import Scan

__all__ = [
    "Beam", "Crystal", "Detector", "Experiment", "ExperimentList", "Goniometer", "ImageSet", "Panel", "Scan",
    "derived_identifier", "new_identifier", "rotation_matrix",
]  # fmt: skip
