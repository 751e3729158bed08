"""Scaling models: which corrections an experiment gets, and their parameters (back.md 13.1).

The inverse scale factor of an observation is g = S(φ) · exp(B(φ)/2d²) · (1 + Σ C Y); I_scaled = I/g. In the dose
decay model the exponent is B/2d² + C·z/d² (or C·z/d; Holton 2019, Acta Cryst. D75, 113), z counting images. In the
array model S depends on resolution, too, and the surface is one on the detector (``array_model.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.models import Experiment
from mxdask.scale.absorption import n_terms
from mxdask.scale.array_model import ArrayGrid
from mxdask.scale.params import Params
from mxdask.scale.smoother import Smoother

# Degrees between the parameters of scale and decay, by the width of the sweep.
_SPACING = ((5.0, (1.0, 1.5)), (10.0, (2.0, 3.0)), (25.0, (4.0, 5.0)), (90.0, (8.0, 10.0)), (np.inf, (15.0, 20.0)))
_ABSORPTION_LEVELS = {"low": (4, 5e5), "medium": (6, 5e4), "high": (6, 5e3)}
# A factor on the detector is expected within a tenth of one; any fair amount of data overrules it.
_ARRAY_SURFACE_WEIGHT = 100.0
# Narrower sweeps do not tell absorption from scale.
_ABSORPTION_FROM = 60.0
_PHYSICAL_FROM = 1.0
# Rounding in a header must not move a sweep of exactly 5° to the other side of a limit.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class DoseDecay:
    """Decay that grows evenly with the images.

    Attributes
    ----------
    relative_b : there is a B factor, too; it comes before the decay's parameter.
    linear : the decay goes with 1/d, not 1/d².
    n_images : of the sweep.
    """

    relative_b: bool
    linear: bool
    n_images: int

    @property
    def n_parameters(self) -> int:
        return 1 + self.relative_b

    def weights(self, frame: np.ndarray, d: np.ndarray) -> np.ndarray:
        """(n, 3) derivatives of the exponent by the parameters, over 1/2d², at frames since the start of the sweep."""
        out = np.zeros((len(frame), 3))
        out[:, 0] = 1.0
        out[:, int(self.relative_b)] = 2.0 * frame * (d if self.linear else 1.0)
        return out

    def units(self, b_unit: float, d_min: float) -> np.ndarray:
        """(n_parameters,) what changes the outermost reflections of the last image as much as ``b_unit`` of B does."""
        c_unit = b_unit / (2.0 * max(self.n_images, 1) * (d_min if self.linear else 1.0))
        return np.array([b_unit, c_unit] if self.relative_b else [c_unit])


@dataclass(frozen=True)
class ScalingModel:
    """The form of one experiment's correction; the parameters themselves are a vector beside it.

    Attributes
    ----------
    kind : ``physical``, ``KB``, ``dose_decay`` or ``array``.
    scale, decay : smoothers; decay None for no B factor.
    lmax : degree of the absorption surface, 0 for none.
    surface_weight : restraint of its coefficients to zero.
    dose : in place of ``decay`` in the dose decay model.
    array : in place of ``scale`` and of the spherical surface in the array model.
    """

    kind: str
    scale: Smoother
    decay: Smoother | None
    lmax: int = 0
    surface_weight: float = 0.0
    dose: DoseDecay | None = None
    array: ArrayGrid | None = None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of scale, decay and absorption parameters; they follow each other in this order."""
        if self.array:
            return int(np.prod(self.array.decay_shape)), 0, int(np.prod(self.array.absorption_shape))
        decay = self.dose or self.decay
        return self.scale.n_parameters, decay.n_parameters if decay else 0, n_terms(self.lmax)

    @property
    def n_parameters(self) -> int:
        return sum(self.sizes)

    def start(self) -> np.ndarray:
        """(n_parameters,) no correction: S = 1, B = 0, C = 0."""
        n_scale, n_decay, n_absorption = self.sizes
        return np.concatenate([np.ones(n_scale), np.zeros(n_decay + n_absorption)])

    def split(self, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scale, decay and absorption parameters."""
        n_scale, n_decay, _ = self.sizes
        return parameters[:n_scale], parameters[n_scale : n_scale + n_decay], parameters[n_scale + n_decay :]

    def curves(self, frames: np.ndarray, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S and B (n,) at frames since the start of the sweep."""
        scale, decay, _ = self.split(parameters)
        if self.array:
            return self.array.decay_curve(frames, scale), np.zeros(len(frames))
        if self.dose:  # as the B factor that has the same effect (with 1/d: at d = 1 Å)
            b = self.dose.weights(frames, np.ones(len(frames)))[:, : len(decay)] @ decay
        else:
            b = self.decay.value(frames, decay) if self.decay else np.zeros(len(frames))
        return self.scale.value(frames, scale), b

    def to_dict(
        self, experiment: Experiment, parameters: np.ndarray, esds: np.ndarray, scaling: dict[str, Any]
    ) -> dict[str, Any]:
        """The model as DIALS writes it into .expt files.

        Parameters
        ----------
        scaling : further configuration, the same for all: error model and intensity combination.
        """
        out: dict[str, Any] = {"__id__": self.kind, "is_scaled": True}
        corrections = []
        for name, part in self.components().items():
            values, sigmas, null = parameters[part] + self._offset(name), esds[part], float(name in self.around_one)
            if len(values):
                corrections.append(name)
                out[name] = {
                    "n_parameters": len(values), "parameters": values.tolist(), "null_parameter_value": null,
                    "est_standard_devs": sigmas.tolist(),
                }  # fmt: skip
        configuration: dict[str, Any] = {"corrections": corrections, **scaling}
        if experiment.scan is not None and not experiment.scan.is_still:
            configuration["valid_image_range"] = list(experiment.scan.image_range)
            configuration["valid_osc_range"] = list(experiment.scan.oscillation_range)
        if self.dose:
            configuration |= {
                "s_norm_fac": self.scale.norm_factor, "scale_rot_interval": self.scale.interval,
                "resolution_dependence": "linear" if self.dose.linear else "quadratic",
            }  # fmt: skip
        if self.kind == "physical":
            configuration |= {"s_norm_fac": self.scale.norm_factor, "scale_rot_interval": self.scale.interval}
            if self.decay:
                configuration |= {"d_norm_fac": self.decay.norm_factor, "decay_rot_interval": self.decay.interval}
        if self.array:
            configuration |= self.array.configuration()
        if self.lmax:
            configuration |= {"lmax": self.lmax, "abs_surface_weight": self.surface_weight}
        out["configuration_parameters"] = configuration
        return out

    def components(self) -> dict[str, slice]:
        """Where each correction's parameters lie, under the names they have in .expt files."""
        n_scale, n_decay, n_absorption = self.sizes
        at = n_scale + n_decay
        if self.array:
            return {"decay": slice(0, n_scale), "absorption": slice(n_scale, n_scale + n_absorption)}
        parts = {"scale": slice(0, n_scale)}
        if self.dose and self.dose.relative_b:
            parts |= {"relative_B": slice(n_scale, n_scale + 1), "decay": slice(n_scale + 1, at)}
        else:
            parts["decay"] = slice(n_scale, at)
        return parts | {"absorption": slice(at, at + n_absorption)}

    @property
    def around_one(self) -> tuple[str, ...]:
        """The components whose parameters are 1, not 0, where nothing is corrected."""
        return ("decay", "absorption") if self.array else ("scale",)

    def _offset(self, name: str) -> float:
        """What a component's parameters in files lie above those here: a surface on the detector is 1 + C there."""
        return float(self.array is not None and name == "absorption")

    @classmethod
    def from_dict(cls, model: dict[str, Any], like: ScalingModel) -> tuple[ScalingModel, np.ndarray | None]:
        """The parameters of an earlier scaling, ours or that of DIALS, where its form is that of ``like``.

        Returns
        -------
        model, parameters : ``like`` and the old parameters; None where the old model is of another form.
        """
        old = {name: model.get(name, {}).get("parameters", []) for name in like.components()}
        parameters = np.concatenate([np.asarray(v, dtype=np.float64) - like._offset(k) for k, v in old.items()])
        same = model.get("__id__") == like.kind and model.get("is_scaled", True)
        same = same and [len(v) for v in old.values()] == [p.stop - p.start for p in like.components().values()]
        return like, parameters if same and np.all(parameters[: like.sizes[0]] > 0) else None


def choose_model(
    experiment: Experiment, params: Params, d: np.ndarray | None = None, xy: np.ndarray | None = None
) -> ScalingModel:
    """The model asked for, or by the sweep's width: physical above 1°, KB else; absorption above 60°.

    Parameters
    ----------
    d, xy : (n,) in Å and (n, 2) in pixels, the observations; an array model spans them.
    """
    scan = experiment.scan
    total = 0.0 if scan is None or scan.is_still else scan.n_images * abs(scan.width)
    kind = params.model
    if kind == "auto":
        kind = "physical" if total > _PHYSICAL_FROM + _ROUNDING else "KB"
    physical = params.physical
    if kind == "dose_decay" and scan is not None and not scan.is_still:
        own = params.dose_decay
        dose = DoseDecay(own.relative_B_correction, own.resolution_dependence == "linear", scan.n_images)
        scale = Smoother.over(scan.n_images, scan.width, own.scale_interval)
        lmax = own.lmax if own.absorption_correction else 0
        return ScalingModel("dose_decay", scale, None, lmax, own.surface_weight, dose)
    if kind == "array" and scan is not None and not scan.is_still and d is not None and xy is not None:
        grids = params.array
        time = Smoother.over(scan.n_images, scan.width, grids.decay_interval)
        n_absorption = grids.n_absorption_bins if grids.absorption_correction else 0
        array = ArrayGrid.of(time, grids.n_resolution_bins, n_absorption, d, xy)
        return ScalingModel("array", time, None, 0, _ARRAY_SURFACE_WEIGHT, array=array)
    if kind == "KB" or scan is None or scan.is_still:
        decay = Smoother.constant() if params.KB.decay_correction else None
        return ScalingModel("KB", Smoother.constant(), decay)
    scale_spacing, decay_spacing = next(s for limit, s in _SPACING if total < limit - _ROUNDING)
    scale = Smoother.over(scan.n_images, scan.width, physical.scale_interval or scale_spacing)
    decay = None
    if physical.decay_correction:
        decay = Smoother.over(scan.n_images, scan.width, physical.decay_interval or decay_spacing)
    absorption = physical.absorption_correction
    if absorption is None:
        absorption = total > _ABSORPTION_FROM or physical.absorption_level is not None
    if not absorption:
        return ScalingModel("physical", scale, decay)
    lmax, weight = _ABSORPTION_LEVELS[physical.absorption_level or "low"]
    return ScalingModel(
        "physical", scale, decay, physical.lmax or lmax,
        weight if physical.surface_weight is None else physical.surface_weight,
    )  # fmt: skip
