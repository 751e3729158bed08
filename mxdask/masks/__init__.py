"""Which pixels of a detector are not measurements: shapes, resolution, shadows, and why each pixel is masked."""

from mxdask.masks.generate import generate_mask
from mxdask.masks.params import MaskParams, Region

__all__ = ["MaskParams", "Region", "generate_mask"]
