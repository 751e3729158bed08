"""The order of scaling: scale, reject, choose intensities, model the errors, and again (back.md 13.4)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from mxdask.intensity.asu import pack
from mxdask.scale.combine import choose_i_mid
from mxdask.scale.design import starts_of
from mxdask.scale.error_model import START, ErrorModel, refine_error_model
from mxdask.scale.expectation import Counting, Variances, expected_intensities, resolution_shells
from mxdask.scale.outliers import discordant_pairs, find_outliers, wilson_levels
from mxdask.scale.params import Params, ScalingOptions
from mxdask.scale.pool import Pool
from mxdask.scale.refine import (
    Fit,
    covariances,
    esds,
    factor_variances,
    factors,
    refine,
    scale_esds,
    starting_scales,
)
from mxdask.text import text_table

_log = logging.getLogger(__name__)

# A scale smaller than this (relative to the middle one of all crystals) says nothing about its crystal.
_SMALLEST_SCALE = 1e-3
# A crystal whose scale is less than this many standard deviations from zero does not diffract.
_MIN_SIGNIFICANCE = 3.0


@dataclass(frozen=True)
class Scaled:
    """The outcome for all observations of a pool.

    Attributes
    ----------
    parameters, esds : (n_parameters,) S, B, C of all crystals.
    scale_esds : (e,) relative error of each crystal's scale against the others'; not part of the variances below.
    intensity, variance : (n,) corrected, combined; variance after the error model and with that of the scales.
    g, g_variance : (n,) inverse scale factors.
    outlier, excluded : (n,) bool; excluded observations have no usable scale factor.
    error_models : one per crystal (the same object where shared).
    i_mid : (e,) counts.
    trials : comparison of intensity choices.
    rounds : what each minimisation did.
    """

    parameters: np.ndarray
    esds: np.ndarray
    scale_esds: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    g: np.ndarray
    g_variance: np.ndarray
    outlier: np.ndarray
    excluded: np.ndarray
    error_models: tuple[ErrorModel, ...]
    i_mid: np.ndarray
    trials: list[dict[str, float]]
    rounds: list[dict[str, Any]]


class Scaling:
    """The state of one scaling job: what is known so far about one pool."""

    def __init__(self, pool: Pool, params: Params, reference: np.ndarray | None = None) -> None:
        """Of a pool; ``reference`` (m,) holds intensities of its unique reflections to scale to, NaN: none."""
        self.pool, self.params, self.reference = pool, params, reference
        self.free = free_set(pool, params.scaling_options)
        n_crystals = len(pool.layout.models)
        self.starts = pool.design.group_starts
        self.group = np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), np.diff(self.starts))
        imid = params.reflection_selection.combine.Imid
        self.i_mid = np.full(n_crystals, 0.0 if imid is None else imid)
        self.trials: list[dict[str, float]] = []
        self.shell = resolution_shells(pool.inverse_d2)
        self.intensity, self.counted_variance = pool.intensities(self.i_mid)
        self.variances = Variances.as_counted(self.counted_variance)
        self.expected = np.maximum(self.intensity, 0.0)
        em = params.error_model
        self.as_counted = em.error_model == "basic"
        start = ErrorModel(em.a or START[0], START[1] if em.b is None else em.b)
        self.error_models = (start,) * n_crystals
        self.outlier = np.zeros(len(pool), dtype=bool)
        self.parameters = pool.layout.initial()
        self.g = np.ones(len(pool))
        self.fit: Fit | None = None
        d_min = 1.0 / np.sqrt(pool.inverse_d2.max())
        self.restraints = pool.layout.restraints(params.physical.decay_restraint, d_min)
        self.rounds: list[dict[str, Any]] = []

    def run(self) -> Scaled:
        """All rounds after :meth:`start`."""
        self.refine("first")
        self.reject()
        if self.params.reflection_selection.combine.Imid is None:
            self.choose_intensities()
        self.refine("chosen intensities")
        self.reject()
        self.model_errors()
        self.refine("error model")
        self.reject()
        self.model_errors()
        return self.finish()

    def start(self) -> None:
        """One scale per crystal, and the grossest outliers out before they can do harm."""
        rows = self._refinable()
        design = self.pool.design.select(rows)
        weight = 1.0 / self.variance()[rows]
        self.parameters = starting_scales(
            design, self.pool.layout, self.intensity[rows], weight, known=self.pool.known,
            fixed_means=self._fixed_means(rows),
        )  # fmt: skip
        self.g = factors(self.pool.design, self.parameters)
        self.expect()
        self.reject()

    def undetermined(self) -> dict[int, str]:
        """Crystals whose scale does not stand out from the noise, with the reason; call after :meth:`start`."""
        n = len(self.pool.layout.models)
        rows = self._refinable()
        crystal, expected = self.pool.experiment[rows], self.expected[rows]
        weight = 1.0 / self.variance()[rows]
        signal = np.bincount(crystal, weight * self.intensity[rows] * expected, n)
        noise = np.sqrt(np.bincount(crystal, weight * expected**2, n))
        count = np.bincount(crystal, minlength=n)
        out = {}
        for i in range(n):
            if count[i] == 0:
                out[i] = "no reflection in common with other crystals or with itself: its scale cannot be found"
            elif signal[i] < _MIN_SIGNIFICANCE * noise[i]:
                out[i] = f"its scale is {signal[i] / noise[i]:.1f} σ from zero in {count[i]} observations: no signal"
        return out

    def refine(self, name: str) -> None:
        """One minimisation from the present parameters."""
        rows = self._refinable()
        design, layout = self.pool.design.select(rows), self.pool.layout
        self.fit = refine(
            design, layout, self.intensity[rows], 1.0 / self.variance()[rows], self.parameters,
            self.restraints, self._fixed_means(rows),
        )  # fmt: skip
        self.parameters = self._normalised(self.fit.parameters)
        self.g = factors(self.pool.design, self.parameters)
        self.expect()
        n = max(self.fit.n_observations, 1)
        row: dict[str, Any] = {
            "round": name, "n_observations": n, "n_steps": self.fit.n_steps,
            "rmsd_before": float(np.sqrt(self.fit.start_target / n)), "rmsd": float(np.sqrt(self.fit.target / n)),
        }  # fmt: skip
        self.rounds.append(row)

    def reject(self) -> None:
        """Outliers among all observations, found anew."""
        options, asu = self.params.outlier, self.pool.asu
        usable = np.flatnonzero(self.g > 0)
        g = self.g[usable]
        value, variance = self.intensity[usable] / g, self.variance()[usable] / g**2
        level = wilson_levels(value, variance, self.pool.inverse_d2[usable], asu.epsilon[asu.group[usable]])
        self.outlier = np.zeros(len(self.pool), dtype=bool)
        ordinary = value <= options.emax**2 * level
        self.outlier[usable[~ordinary]] = True
        rest, value, variance, level = usable[ordinary], value[ordinary], variance[ordinary], level[ordinary]
        starts = starts_of(self.group[rest])
        found = find_outliers(starts, value, variance, np.ones(len(rest)), options)
        if options.outlier_rejection == "standard":
            found |= discordant_pairs(starts, value, variance, level, options.outlier_zmax, found)
        self.outlier[rest[found]] = True

    def choose_intensities(self) -> None:
        """Profile-fitted, summed, or between."""
        joint = self.params.reflection_selection.combine.joint_analysis
        good = ~self.outlier & (self.g > 0)
        self.i_mid, self.trials = choose_i_mid(self.pool, self.g, good, joint)
        self.intensity, self.counted_variance = self.pool.intensities(self.i_mid)
        self.expect()

    def model_errors(self) -> None:
        """Error model(s) on the present scales."""
        good = ~self.outlier & (self.g > 0)
        crystals = range(len(self.pool.layout.models))
        individual = self.params.error_model.grouping == "individual"
        groups = [[c] for c in crystals] if individual else [list(crystals)]
        models = list(self.error_models)
        for group in groups:
            rows = np.flatnonzero(good & np.isin(self.pool.experiment, group))
            _, number = np.unique(self.group[rows], return_inverse=True)
            model = refine_error_model(
                number, self.intensity[rows], self.variances.select(rows), self.g[rows], self.pool.partiality[rows],
                self.params.error_model, self.params.reflection_selection.min_partiality,
            )  # fmt: skip
            for crystal in group:
                models[crystal] = model
        self.error_models = tuple(models)

    def variance(self) -> np.ndarray:
        """(n,) variances after the present error models."""
        out = np.empty(len(self.pool))
        for model in {id(m): m for m in self.error_models}.values():
            mine = np.array([m is model for m in self.error_models])[self.pool.experiment]
            out[mine] = model.variance(self.variances.select(mine), self.expected[mine], self.pool.partiality[mine])
        return out

    def expect(self) -> None:
        """What each observation should have been by the present scales, and the counting variance of that."""
        good = ~self.outlier & (self.g > 0)
        counting = Counting.of(self.intensity, self.counted_variance, self.pool.count_factor)
        variance = self.variances.total
        self.expected = expected_intensities(self.group, self.shell, self.intensity, variance, counting, self.g, good)
        if self.as_counted:
            self.expected, self.variances = self.intensity, Variances.as_counted(self.counted_variance)
        else:
            self.variances = counting.variances(self.expected)

    def finish(self) -> Scaled:
        """Everything as arrays; the last error model is in the variances."""
        assert self.fit is not None
        layout = self.pool.layout
        fit = Fit(self.parameters, self.fit.blocks, self.fit.target, self.fit.start_target, self.fit.n_observations, 0)
        relative = covariances(layout, fit, self.restraints, relative=True)
        g_variance = factor_variances(self.pool.design, layout, fit, relative, self.g)
        excluded = ~(self.g > _SMALLEST_SCALE * self._usual_scale())
        of_g = np.where(excluded, 0.0, g_variance / np.where(excluded, 1.0, self.g) ** 2)
        variance = self.variance() + self.expected**2 * of_g
        _log.info(_rounds_table(self.rounds))
        return Scaled(
            self.parameters, esds(layout, fit, covariances(layout, fit, self.restraints)), scale_esds(layout, fit),
            self.intensity, variance, self.g, g_variance, self.outlier & ~excluded, excluded, self.error_models,
            self.i_mid, self.trials, self.rounds,
        )  # fmt: skip

    def _usual_scale(self) -> float:
        """Middle one of the crystals' mean scales; the mean, which is 1, where a few crystals are far below the others.

        One crystal in other units must not make all others look as if they did not diffract.
        """
        n = len(self.pool.layout.models)
        count = np.maximum(np.bincount(self.pool.experiment, minlength=n), 1)
        return min(float(np.median(np.bincount(self.pool.experiment, np.maximum(self.g, 0.0), n) / count)), 1.0)

    def _refinable(self) -> np.ndarray:
        """Observations the parameters are refined on: whole, no outliers, in groups of two or more with signal."""
        selection = self.params.reflection_selection
        good = ~self.outlier & (self.pool.partiality >= selection.min_partiality) & ~self.free
        m = len(self.starts) - 1
        n = np.bincount(self.group[good], minlength=m)
        signal = np.bincount(self.group[good], (self.intensity / np.sqrt(self.variances.total))[good], m)
        enough = (n > 1) & (signal > selection.min_isigi * n)
        if self.reference is not None:
            known = np.isfinite(self.reference[self.pool.asu.group[self.starts[:-1]]])
            enough = (signal > selection.min_isigi * n) & known
        return np.flatnonzero(good & enough[self.group])

    def _fixed_means(self, rows: np.ndarray) -> np.ndarray | None:
        """The reference's intensities for the groups among some observations."""
        if self.reference is None:
            return None
        return self.reference[self.pool.asu.group[rows[starts_of(self.group[rows])[:-1]]]]

    def _normalised(self, parameters: np.ndarray) -> np.ndarray:
        """Mean scale of the crystals 1, mean B 0: neither changes how observations agree, but with a reference."""
        if self.reference is not None:
            return parameters
        layout = self.pool.layout
        out, scale, decay = parameters.copy(), layout.is_scale(), layout.is_decay()
        means = [layout.of_experiment(i, parameters)[: m.sizes[0]].mean() for i, m in enumerate(layout.models)]
        out[scale] /= np.mean(means)
        if all(m.decay is not None for m in layout.models):
            out[decay] -= out[decay].mean()
        return out


def free_set(pool: Pool, options: ScalingOptions) -> np.ndarray:
    """(n,) observations of the unique reflections that no model is refined against (none unless asked for).

    Which these are follows from their indices: the same whatever else is scaled.
    """
    if not options.use_free_set:
        return np.zeros(len(pool), dtype=bool)
    every = max(round(100.0 / options.free_set_percentage), 2)
    mixed = (pack(pool.asu.unique).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)
    chosen = mixed % np.uint64(every) == np.uint64(options.free_set_offset % every)
    return np.asarray(chosen[pool.asu.group])


def _rounds_table(rounds: list[dict[str, Any]]) -> str:
    return text_table(
        ("round", "observations", "steps", "rmsd before", "rmsd after"),
        [(r["round"], r["n_observations"], r["n_steps"], r["rmsd_before"], r["rmsd"]) for r in rounds],
        title="Minimisation",
    )
