"""Image numbers and angles of a sweep."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError


@dataclass(frozen=True, eq=False)
class Scan:
    """Consecutive images of one rotation (or stills, width 0).

    Frame coordinates z are absolute array indices: image number n covers z in [n - 1, n).

    Attributes
    ----------
    image_range : (first, last) image number, 1-based, inclusive.
    oscillation : (start of the first image, width) degrees; None for stills without a goniometer.
    exposure_times, epochs : one value (s) per image.
    valid_image_ranges : experiment identifier → list of (first, last).
    properties : further per-image properties of new files, kept verbatim.
    """

    image_range: tuple[int, int]
    oscillation: tuple[float, float] | None
    exposure_times: tuple[float, ...] = ()
    epochs: tuple[float, ...] = ()
    batch_offset: int = 0
    valid_image_ranges: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first, last = self.image_range
        if last < first:
            raise MxdaskError(f"scan: image range {first}..{last} holds no image")
        if self.oscillation is not None and not np.all(np.isfinite(self.oscillation)):
            raise MxdaskError(f"scan: oscillation {self.oscillation} is not finite; check the image header")

    @property
    def n_images(self) -> int:
        """Number of images."""
        return self.image_range[1] - self.image_range[0] + 1

    @property
    def array_range(self) -> tuple[int, int]:
        """Half-open range of frame coordinates."""
        return self.image_range[0] - 1, self.image_range[1]

    @property
    def is_still(self) -> bool:
        """Whether nothing turns between the images."""
        return self.oscillation is None or abs(self.oscillation[1]) < 1e-7

    @property
    def width(self) -> float:
        """Degrees per image (signed)."""
        return 0.0 if self.oscillation is None else self.oscillation[1]

    @property
    def oscillation_range(self) -> tuple[float, float]:
        """Angles (degrees) at the start of the first and the end of the last image."""
        start = 0.0 if self.oscillation is None else self.oscillation[0]
        return start, start + self.width * self.n_images

    def angle(self, z: Any) -> Any:
        """Angle (radians) at frame coordinate(s) z."""
        start, width = self.oscillation or (0.0, 0.0)
        return np.deg2rad(start + (np.asarray(z, dtype=np.float64) - self.array_range[0]) * width)

    def frame(self, phi: Any) -> Any:
        """Frame coordinate(s) z of angle(s) φ in radians."""
        start, width = self.oscillation or (0.0, 1.0)
        return self.array_range[0] + (np.rad2deg(phi) - start) / width

    def cut(self, first: int, last: int) -> Scan:
        """The part with image numbers first..last (inclusive); frame coordinates stay absolute."""
        a, b = self.image_range
        if first < a or last > b or last < first:
            raise MxdaskError(f"image_range={first},{last} is not inside the sweep's images {a}..{b}")
        lo, hi = first - a, last - a + 1
        oscillation = self.oscillation and (self.oscillation[0] + lo * self.oscillation[1], self.oscillation[1])
        return replace(
            self, image_range=(first, last), oscillation=oscillation,
            exposure_times=self.exposure_times[lo:hi], epochs=self.epochs[lo:hi],
            properties={k: v[lo:hi] if isinstance(v, list) and len(v) == self.n_images else v
                        for k, v in self.properties.items()},
        )  # fmt: skip
