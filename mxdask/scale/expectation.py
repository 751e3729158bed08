"""What an observation should have been, and the variance that goes with it.

Counting statistics taken from the counts themselves are small where the counts came out low, so weights 1/σ² pull
means down, most of all for weak data. Here the Poisson part of each variance is made anew from the expected
intensity: what the counts of the equivalents and Wilson's distribution of the resolution shell together say it is
(French & Wilson 1978, Acta Cryst. A34, 517, for counts instead of a normal error; docs/decisions/0008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc, gammaln

from mxdask.intensity.asu import equal_volume_edges, shell_of

_SHELLS = 20
# A variance does not become less than this part of what integration said. (The floor is one of the total: as a floor
# of the background's part it would widen the errors of all strong reflections.)
_LEAST_PART = 0.1
_STRONG = 10.0
# Counts this many standard deviations below the background: there the incomplete gamma function is its first term.
_FAR_BELOW = 5.0
# Observations that tell nothing of counts (a variance without a Poisson part) get this part of one all the same.
_LEAST_COUNT = 1e-9


def resolution_shells(inverse_d2: np.ndarray) -> np.ndarray:
    """(n,) shell 0 … 19 of equal volume."""
    if len(inverse_d2) == 0:
        return np.zeros(0, dtype=np.int64)
    low, high = inverse_d2.min() * (1 - 1e-6), inverse_d2.max() * (1 + 1e-6)
    return np.maximum(shell_of(inverse_d2, equal_volume_edges(low**-0.5, high**-0.5, _SHELLS)), 0)


@dataclass(frozen=True)
class Variances:
    """The two parts of the variances of n observations, which the error model may scale differently.

    Attributes
    ----------
    counts : (n,) Poisson noise of the reflection itself.
    background : (n,) everything else: noise of the background under it and of the background's own estimate.
    rate : (n,) what an intensity adds to its variance, per intensity: counts are ``rate`` times the expected one.
    """

    counts: np.ndarray
    background: np.ndarray
    rate: np.ndarray

    @classmethod
    def as_counted(cls, variance: np.ndarray) -> Variances:
        """Variances that do not follow any expectation."""
        return cls(np.zeros(len(variance)), variance, np.zeros(len(variance)))

    @property
    def total(self) -> np.ndarray:
        """(n,) their sum."""
        return self.counts + self.background

    def select(self, rows: np.ndarray) -> Variances:
        """Those of some observations."""
        return Variances(self.counts[rows], self.background[rows], self.rate[rows])


@dataclass(frozen=True)
class Counting:
    """How the variances of n observations follow from the intensity that was to be expected: V = rate·E + background.

    Attributes
    ----------
    rate : (n,) variance per corrected intensity: the corrected intensity of one count.
    background : (n,) noise of the background under the reflection and of the background's own estimate.
    floor : (n,) least total variance.
    """

    rate: np.ndarray
    background: np.ndarray
    floor: np.ndarray

    @classmethod
    def of(cls, intensity: np.ndarray, variance: np.ndarray, count_factor: np.ndarray) -> Counting:
        """From measured intensities and variances.

        Parameters
        ----------
        count_factor : (n,) corrected intensity per count; a count adds its square to the variance. Detectors that do
            not count photons have smaller variances than that: then the ratio seen in strong reflections is used.
        """
        strong = intensity > _STRONG * np.sqrt(variance)
        ratio = variance[strong] / (count_factor[strong] * intensity[strong])
        rate = count_factor * (min(float(np.median(ratio)), 1.0) if len(ratio) else 1.0)
        return cls(rate, np.maximum(variance - rate * np.abs(intensity), 0.0), _LEAST_PART * variance)

    def variances(self, expected: np.ndarray) -> Variances:
        """Those of observations with these expected intensities."""
        counts = self.rate * np.maximum(expected, 0.0)
        return Variances(counts, np.maximum(self.background, self.floor - counts), self.rate)


def expected_intensities(
    group: np.ndarray,
    shell: np.ndarray,
    intensity: np.ndarray,
    variance: np.ndarray,
    counting: Counting,
    g: np.ndarray,
    good: np.ndarray,
) -> np.ndarray:
    """(n,) expected intensity g·E of each observation.

    Parameters
    ----------
    group, shell : (n,) rising group number; resolution shell.
    intensity, variance, g : (n,) corrected intensity, its variance as known so far, inverse scale factor.
    good : (n,) bool, observations that count; the others get an expectation all the same.
    """
    m = int(group[-1]) + 1 if len(group) else 0
    used = np.where(good, g, 0.0)
    level = np.bincount(shell, used * intensity, _SHELLS) / np.maximum(np.bincount(shell, used**2, _SHELLS), 1e-300)
    level = np.maximum(level, 1e-3 * max(float(level.max(initial=0.0)), 1e-12))
    first = np.zeros(m, dtype=np.int64)
    first[group[::-1]] = shell[::-1]
    # A group is one measurement: the weighted mean, whose variance is again rate·E + background.
    weight = used / variance
    norm = np.bincount(group, weight * g, m)
    measured = norm > 0
    norm = np.where(measured, norm, 1.0)
    mean = np.bincount(group, weight * intensity, m) / norm
    rate = np.bincount(group, weight**2 * counting.rate * g, m) / norm**2
    background = np.bincount(group, weight**2 * counting.background, m) / norm**2
    prior = level[first]
    rate = np.maximum(rate, _LEAST_COUNT * prior)
    expected = np.where(measured, posterior_means(mean, rate, background, prior), prior)
    return g * expected[group]


def posterior_means(mean: np.ndarray, rate: np.ndarray, background: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """(m,) E⟨J⟩ of intensities J measured as ``mean`` with variance rate·J + background, where J is ≥ 0 and
    exponentially distributed about ``prior`` (acentric reflections after Wilson).

    y = mean/rate + b counts were seen where J/rate + b are expected, b = background/rate² being those of the
    background. With u = J/rate + b the posterior is u^y·e^(-ru), u ≥ b, r = 1 + rate/prior, and its mean a ratio of
    incomplete gamma functions. With b = 0 it is (y + 1)/r: where nothing was counted, less than one count is expected,
    but not none.
    """
    b = background / rate**2
    y = np.maximum(mean / rate + b, 0.0)
    r = 1.0 + rate / prior
    x = r * b
    far = x - y > _FAR_BELOW * np.sqrt(x) + 1.0
    near_x = np.where(far, 0.0, x)
    with np.errstate(divide="ignore"):
        log_term = (y + 1.0) * np.log(near_x) - near_x - gammaln(y + 1.0)
        term = np.exp(log_term - np.log(gammaincc(y + 1.0, near_x)))
        tail = 1.0 / (r - y / np.where(far, b, np.inf))
    return rate * np.where(far, tail, np.maximum((y + 1.0 + term) / r - b, 0.0))
