"""Flat detector panels and their hierarchy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from mxdask.errors import MxdaskError
from mxdask.models.arrays import frozen

SIMPLE = "SimplePxMmStrategy"
PARALLAX = "ParallaxCorrectedPxMmStrategy"


@dataclass(frozen=True, eq=False)
class Panel:
    """One flat rectangle of pixels; all vectors in the laboratory frame, lengths in mm.

    Pixel (i fast, j slow) covers [i, i+1) × [j, j+1); ``origin`` is the outer corner of pixel (0, 0).

    Attributes
    ----------
    fast_axis, slow_axis : (3,) unit vectors.
    origin : (3,) mm.
    image_size : (fast, slow) pixels; ``pixel_size`` (fast, slow) mm.
    trusted_range : (lowest, highest) raw value that is a measurement, both inclusive.
    thickness : mm of sensor; ``mu`` mm⁻¹ its attenuation coefficient at the beam's wavelength.
    untrusted : rectangles (x0, y0, x1, y1), half-open pixels.
    px_mm_strategy : ``SimplePxMmStrategy`` or ``ParallaxCorrectedPxMmStrategy`` (``Offset…`` kinds keep their name).
    """

    fast_axis: np.ndarray
    slow_axis: np.ndarray
    origin: np.ndarray
    image_size: tuple[int, int]
    pixel_size: tuple[float, float]
    trusted_range: tuple[float, float] = (0.0, 2.0**31 - 1)
    thickness: float = 0.0
    material: str = ""
    mu: float = 0.0
    gain: float = 1.0
    pedestal: float = 0.0
    identifier: str = ""
    name: str = "Panel"
    type: str = "SENSOR_PAD"
    untrusted: tuple[tuple[int, int, int, int], ...] = ()
    raw_image_offset: tuple[int, int] = (0, 0)
    px_mm_strategy: str = SIMPLE
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("fast_axis", "slow_axis", "origin"):
            value = frozen(getattr(self, name))
            if value.shape != (3,) or not np.all(np.isfinite(value)):
                raise MxdaskError(
                    f"detector panel {self.name!r}: {name} is {value.tolist()}, three finite numbers are needed; "
                    "check the image header or give the geometry by hand (geometry.detector…)"
                )
            object.__setattr__(self, name, value)
        cross = np.linalg.norm(np.cross(self.fast_axis, self.slow_axis))
        if cross < 0.5:
            raise MxdaskError(f"detector panel {self.name!r}: fast and slow axis are (nearly) parallel")
        self._check_sizes()

    def _check_sizes(self) -> None:
        wrong = ""
        if not all(np.isfinite(size) and size > 0 for size in (*self.pixel_size, *self.image_size)):
            wrong = f"{self.image_size} pixels of {self.pixel_size} mm; all must be finite and above zero"
        elif self.distance < 1e-6:
            wrong = "its plane goes through the sample (distance 0)"
        elif not np.isfinite(self.thickness) or self.thickness < 0:
            wrong = f"sensor thickness {self.thickness} mm; it must be finite, not negative"
        elif np.isnan(self.trusted_range).any():
            wrong = f"trusted range {self.trusted_range} is not a number"
        if wrong:
            raise MxdaskError(f"detector panel {self.name!r}: {wrong}; check the image header")

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit normal fast × slow."""
        n = np.cross(self.fast_axis, self.slow_axis)
        return n / np.linalg.norm(n)

    @property
    def outward(self) -> np.ndarray:
        """(3,) the unit normal that points away from the sample."""
        return self.normal if float(self.origin @ self.normal) > 0 else -self.normal

    @property
    def distance(self) -> float:
        """mm from the sample to the panel's plane, along its normal (never negative)."""
        return abs(float(self.origin @ self.normal))

    @cached_property
    def d_matrix(self) -> np.ndarray:
        """(3, 3) matrix with columns fast, slow, origin: lab point = d · (x mm, y mm, 1)."""
        return np.column_stack([self.fast_axis, self.slow_axis, self.origin])

    @cached_property
    def D_matrix(self) -> np.ndarray:
        """Inverse of :attr:`d_matrix`."""
        return np.linalg.inv(self.d_matrix)

    @property
    def is_parallax_corrected(self) -> bool:
        """Whether positions account for the depth at which photons are absorbed."""
        return "Parallax" in self.px_mm_strategy and self.mu > 0 and self.thickness > 0

    def lab_coord(self, xy_mm: np.ndarray) -> np.ndarray:
        """(n, 3) laboratory points (mm) of (n, 2) positions on the panel (mm)."""
        xy = np.asarray(xy_mm, dtype=np.float64)
        return self.origin + xy[..., :1] * self.fast_axis + xy[..., 1:2] * self.slow_axis

    def _attenuation_shift(self, xy_mm: np.ndarray) -> np.ndarray:
        """(n, 2) mm that the mean absorption point lies behind the surface point, along (fast, slow)."""
        ray = self.lab_coord(xy_mm)
        ray = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
        # not by @: BLAS rounds in another way where there is a single row
        cosine, fast, slow = (np.sum(ray * v, axis=-1) for v in (self.outward, self.fast_axis, self.slow_axis))
        path = self.thickness / cosine
        length = 1.0 / self.mu - (path + 1.0 / self.mu) * np.exp(-self.mu * path)
        return np.stack([fast, slow], axis=-1) * length[..., None]

    def pixel_to_mm(self, xy_px: np.ndarray) -> np.ndarray:
        """(n, 2) mm on the panel's surface of (n, 2) pixel coordinates (parallax removed; front.md 1.2)."""
        xy = np.asarray(xy_px, dtype=np.float64) * self.pixel_size
        return xy - self._attenuation_shift(xy) if self.is_parallax_corrected else xy

    def mm_to_pixel(self, xy_mm: np.ndarray) -> np.ndarray:
        """(n, 2) pixel coordinates at which rays hitting (n, 2) mm of the surface are recorded."""
        xy = np.asarray(xy_mm, dtype=np.float64)
        if self.is_parallax_corrected:
            xy = xy + self._attenuation_shift(xy)
        return xy / self.pixel_size

    def ray_mm(self, s1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays meet the plane: (n, 2) mm, and (n,) whether they travel towards it."""
        v = np.asarray(s1, dtype=np.float64) @ self.D_matrix.T
        with np.errstate(divide="ignore", invalid="ignore"):
            return v[..., :2] / v[..., 2:3], v[..., 2] > 0

    def contains_mm(self, xy_mm: np.ndarray) -> np.ndarray:
        """(n,) whether positions (mm) lie on the panel."""
        width, height = np.multiply(self.image_size, self.pixel_size)
        x, y = xy_mm[..., 0], xy_mm[..., 1]
        return (x >= 0) & (y >= 0) & (x <= width) & (y <= height)

    def with_frame(self, fast: np.ndarray, slow: np.ndarray, origin: np.ndarray) -> Panel:
        """The same panel somewhere else."""
        return replace(self, fast_axis=fast, slow_axis=slow, origin=origin)

    def is_similar_to(self, other: Panel, axis_tolerance: float = 1e-6, origin_tolerance: float = 0.05) -> bool:
        """DIALS' rule for sharing on import: axes 1e-6, origin 0.05 mm per component, all else equal."""
        return (
            bool(np.all(np.abs(self.fast_axis - other.fast_axis) <= axis_tolerance))
            and bool(np.all(np.abs(self.slow_axis - other.slow_axis) <= axis_tolerance))
            and bool(np.all(np.abs(self.origin - other.origin) <= origin_tolerance))
            and self.image_size == other.image_size
            and np.allclose(self.pixel_size, other.pixel_size, atol=1e-7, rtol=0)
            and self.trusted_range == other.trusted_range
            and abs(self.thickness - other.thickness) < 1e-6
            and self.material == other.material
            and self.untrusted == other.untrusted
        )


@dataclass(frozen=True, eq=False)
class Detector:
    """Panels in order, and the file's hierarchy of groups (plain data; None when flat).

    ``hierarchy`` holds the groups' *global* frames under the keys ``fast_axis, slow_axis, origin`` and the tree
    under ``children`` (``{"panel": index}`` or a group); the remaining keys are kept as the file had them.
    """

    panels: tuple[Panel, ...]
    hierarchy: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.panels:
            raise MxdaskError("detector without panels")

    def __len__(self) -> int:
        return len(self.panels)

    def __getitem__(self, index: int) -> Panel:
        return self.panels[index]

    def ray_intersection(self, s1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First panel each ray hits: (n,) panel index (-1 for none) and (n, 2) mm on it."""
        s1 = np.asarray(s1, dtype=np.float64)
        panel = np.full(len(s1), -1, dtype=np.int64)
        xy = np.zeros((len(s1), 2))
        for index, p in enumerate(self.panels):
            mm, forward = p.ray_mm(s1)
            hit = (panel < 0) & forward & p.contains_mm(mm)
            panel[hit] = index
            xy[hit] = mm[hit]
        return panel, xy

    def lab_of_pixels(self, panel: np.ndarray, xy_px: np.ndarray) -> np.ndarray:
        """(n, 3) laboratory points (mm) of pixel positions (n, 2) on panels (n,), parallax removed."""
        return self._by_panel(panel, xy_px, lambda p, xy: p.lab_coord(p.pixel_to_mm(xy)), 3)

    def pixel_to_mm(self, panel: np.ndarray, xy_px: np.ndarray) -> np.ndarray:
        """(n, 2) mm on panels (n,) of pixel positions (n, 2), parallax removed."""
        return self._by_panel(panel, xy_px, lambda p, xy: p.pixel_to_mm(xy), 2)

    def mm_to_pixel(self, panel: np.ndarray, xy_mm: np.ndarray) -> np.ndarray:
        """(n, 2) pixel positions of (n, 2) mm on panels (n,)."""
        return self._by_panel(panel, xy_mm, lambda p, xy: p.mm_to_pixel(xy), 2)

    def _by_panel(self, panel: np.ndarray, xy: np.ndarray, function: Any, width: int) -> np.ndarray:
        panel = np.asarray(panel)
        out = np.zeros((len(panel), width))
        for index in np.unique(panel):
            rows = panel == index
            out[rows] = function(self.panels[int(index)], np.asarray(xy)[rows])
        return out

    def d_min(self, s0: np.ndarray) -> float:
        """Highest resolution (Å) on any panel.

        Up to 2θ = 90° a corner has it; of panels farther back a point on an edge may be nearer to the backward beam.
        """
        backward = -np.asarray(s0, dtype=np.float64) / np.linalg.norm(s0)
        cosine = -1.0
        for p in self.panels:
            w, h = np.multiply(p.image_size, p.pixel_size)
            corners = p.lab_coord(np.array([[0, 0], [w, 0], [w, h], [0, h]], dtype=float))
            edges = np.roll(corners, -1, axis=0) - corners
            # where an edge a + t b turns: d/dt of (a + t b)·u/|a + t b| = 0
            au, bu, ab = corners @ backward, edges @ backward, np.sum(corners * edges, axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                t = (bu * np.sum(corners**2, axis=1) - au * ab) / (au * np.sum(edges**2, axis=1) - bu * ab)
            turns = (corners + t[:, None] * edges)[(t > 0) & (t < 1)]
            points = np.concatenate([corners, turns])
            cosine = max(cosine, float(np.max(points @ backward / np.linalg.norm(points, axis=1))))
        if self.ray_intersection(backward[None])[0][0] >= 0:
            cosine = 1.0
        # |s1 − s0|² = 2|s0|²(1 − cos 2θ), and cos 2θ = −cosine
        return float(1.0 / (np.linalg.norm(s0) * np.sqrt(2.0 * (1.0 + cosine))))

    def with_panels(self, panels: tuple[Panel, ...]) -> Detector:
        """The same detector with moved panels.

        Groups of a hierarchy of several levels move with their first panel, as they do when rigid groups are refined;
        a hierarchy of panels alone is rebuilt around the identity.
        """
        hierarchy = self.hierarchy
        if hierarchy is not None and len(panels) == len(self) and any("panel" not in c for c in hierarchy["children"]):
            hierarchy = _moved_group(hierarchy, self.panels, panels)
        elif hierarchy is not None:
            hierarchy = {**hierarchy, "fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, 1.0, 0.0],
                         "origin": [0.0, 0.0, 0.0], "children": [{"panel": i} for i in range(len(panels))]}  # fmt: skip
        return Detector(panels, hierarchy)

    def is_similar_to(self, other: Detector) -> bool:
        """DIALS' rule for sharing on import, panel by panel."""
        return len(self) == len(other) and all(
            a.is_similar_to(b) for a, b in zip(self.panels, other.panels, strict=True)
        )


def _moved_group(group: dict[str, Any], before: tuple[Panel, ...], after: tuple[Panel, ...]) -> dict[str, Any]:
    """A group of the hierarchy and all below it, moved as the first panel of each was."""
    children = [c if "panel" in c else _moved_group(c, before, after) for c in group["children"]]
    moved = {**group, "children": children}
    first = _first_panel(group)
    if first is None or np.array_equal(before[first].d_matrix, after[first].d_matrix):
        return moved
    old, new = (np.column_stack([p.fast_axis, p.slow_axis, p.normal]) for p in (before[first], after[first]))
    turn = new @ np.linalg.inv(old)
    moved["fast_axis"] = (turn @ group["fast_axis"]).tolist()
    moved["slow_axis"] = (turn @ group["slow_axis"]).tolist()
    moved["origin"] = (turn @ (group["origin"] - before[first].origin) + after[first].origin).tolist()
    return moved


def _first_panel(group: dict[str, Any]) -> int | None:
    if "panel" in group:
        return int(group["panel"])
    found = (_first_panel(child) for child in group.get("children", []))
    return next((panel for panel in found if panel is not None), None)
