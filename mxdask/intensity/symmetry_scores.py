"""How likely symmetry operators, and Laue groups, are, given correlation coefficients (Evans 2011, appendix A)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.lattice.metric import LatticeSetting
from mxdask.lattice.point_groups import contains, operator_name


@dataclass(frozen=True, eq=False)
class OperatorScore:
    """Evidence for one operator (and its inverse).

    Attributes
    ----------
    op : (3, 3) on the indices of the minimum cell.
    cc, n : correlation and number of pairs.
    z : cc/σ(cc).
    p_present, p_absent : densities of this cc if the operator belongs to the symmetry or not.
    likelihood : p_present/(p_present + p_absent).
    """

    op: np.ndarray
    cc: float
    n: int
    z: float
    p_present: float
    p_absent: float
    likelihood: float

    @property
    def name(self) -> str:
        return operator_name(self.op)


@dataclass(frozen=True, eq=False)
class GroupScore:
    """Evidence for one Laue group."""

    setting: LatticeSetting
    likelihood: float
    confidence: float
    z_net: float
    z_for: float
    z_against: float
    cc_for: float
    cc_against: float


def stars(likelihood: float) -> str:
    """*** above 0.9, ** above 0.7, * above 0.5."""
    return "*" * sum(likelihood > limit for limit in (0.5, 0.7, 0.9))


def _cauchy(x: float, location: np.ndarray, scale: float) -> np.ndarray:
    """Density at x of Cauchy distributions cut to [-1, 1]."""
    area = (np.arctan((1 - location) / scale) - np.arctan((-1 - location) / scale)) / np.pi
    return 1.0 / (np.pi * scale * (1 + ((x - location) / scale) ** 2)) / area


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_HALF_ANGLE = (_NODES + 1) * np.pi / 4  # m = sin θ turns √(1-m²) dm into cos²θ dθ, smooth at both ends
_PRIOR = _WEIGHTS * np.cos(_HALF_ANGLE) ** 2


def score_operator(op: np.ndarray, cc: float, n: int, sigma: float, cc_true: float) -> OperatorScore:
    """Probability densities of a correlation coefficient with and without the operator.

    Present: Cauchy about ``cc_true``; absent: Cauchy about m, averaged over m in [0, 1] with weight √(1-m²); both of
    width ``sigma`` and cut to [-1, 1].
    """
    present = float(_cauchy(cc, np.array(cc_true), sigma))
    absent = float(np.sum(_PRIOR * _cauchy(cc, np.sin(_HALF_ANGLE), sigma)) / _PRIOR.sum())
    return OperatorScore(op, cc, n, cc / sigma, present, absent, present / (present + absent))


def score_groups(
    settings: list[LatticeSetting], operators: list[OperatorScore], *, min_pairs: int = 3
) -> list[GroupScore]:
    """Laue groups, the likeliest first; ties by number of operators, then by lattice misfit.

    Operators compared on fewer than ``min_pairs`` pairs do not count.
    """
    counted = [o for o in operators if o.n >= min_pairs]
    logs = []
    for setting in settings:
        inside = [contains(setting.ops, o.op) for o in counted]
        densities = [o.p_present if there else o.p_absent for o, there in zip(counted, inside, strict=True)]
        logs.append(float(np.sum(np.log(densities))) if densities else 0.0)
    likelihood = np.exp(np.array(logs) - max(logs))
    likelihood /= likelihood.sum()
    order = sorted(
        range(len(settings)), key=lambda i: (-round(float(likelihood[i]), 12), -len(settings[i].ops), settings[i].delta)
    )
    scores = []
    for rank, i in enumerate(order):
        following = likelihood[order[rank + 1]] if rank + 1 < len(order) else 0.0
        scores.append(_group_score(settings[i], operators, counted, float(likelihood[i]), float(following)))
    return scores


def _group_score(
    setting: LatticeSetting,
    operators: list[OperatorScore],
    counted: list[OperatorScore],
    likelihood: float,
    following: float,
) -> GroupScore:
    def rms_z(inside: bool) -> float:
        z = [o.z for o in counted if contains(setting.ops, o.op) == inside]
        return float(np.sqrt(np.mean(np.square(z)))) if z else 0.0

    def mean_cc(inside: bool) -> float:
        chosen = [o for o in operators if contains(setting.ops, o.op) == inside and o.n > 0]
        return float(np.average([o.cc for o in chosen], weights=[o.n for o in chosen])) if chosen else 0.0

    product = likelihood * (likelihood - following)
    z_for, z_against = rms_z(True), rms_z(False)
    return GroupScore(
        setting, likelihood, float(np.sqrt(max(product, 0.0))), z_for - z_against, z_for, z_against,
        mean_cc(True), mean_cc(False),
    )  # fmt: skip
