"""Spot finding: strong pixels of every image, joined to spots across images."""

from mxdask.spots.params import Params
from mxdask.spots.step import run

__all__ = ["Params", "run"]
