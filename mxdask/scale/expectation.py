"""What an observation should have been, and the variance that goes with it.

Counting statistics taken from the counts themselves are small where the counts came out low, so weights 1/σ² pull
means down, most of all for weak data. Here the Poisson part of each variance is made anew from the expected
intensity: the mean of the equivalents, drawn towards the mean of the resolution shell as far as it is uncertain
(the shell's Wilson distribution, with mean S and variance S², is the prior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mxdask.intensity.asu import equal_volume_edges, shell_of

_SHELLS = 20
# A variance does not become less than this part of what integration said. (The floor is one of the total: as a floor
# of the background's part it would widen the errors of all strong reflections.)
_LEAST_PART = 0.1
_STRONG = 10.0


def resolution_shells(inverse_d2: np.ndarray) -> np.ndarray:
    """(n,) shell 0 … 19 of equal volume."""
    if len(inverse_d2) == 0:
        return np.zeros(0, dtype=np.int64)
    low, high = inverse_d2.min() * (1 - 1e-6), inverse_d2.max() * (1 + 1e-6)
    return np.maximum(shell_of(inverse_d2, equal_volume_edges(low**-0.5, high**-0.5, _SHELLS)), 0)


def expected_intensities(
    group: np.ndarray, shell: np.ndarray, intensity: np.ndarray, variance: np.ndarray, g: np.ndarray, good: np.ndarray
) -> np.ndarray:
    """(n,) expected intensity g·E of each observation.

    Parameters
    ----------
    group, shell : (n,) rising group number; resolution shell.
    intensity, variance, g : (n,) corrected intensity, its variance, inverse scale factor.
    good : (n,) bool, observations that count; the others get an expectation all the same.
    """
    m = int(group[-1]) + 1 if len(group) else 0
    used = np.where(good, g, 0.0)
    level = np.bincount(shell, used * intensity, _SHELLS) / np.maximum(np.bincount(shell, used**2, _SHELLS), 1e-300)
    level = np.maximum(level, 1e-3 * max(float(level.max(initial=0.0)), 1e-12))[shell]
    weight = used / variance
    top, bottom = np.bincount(group, weight * intensity, m)[group], np.bincount(group, weight * g, m)[group]
    return g * np.maximum((top + 1.0 / level) / (bottom + 1.0 / level**2), 0.0)


@dataclass(frozen=True)
class Variances:
    """The two parts of the variances of n observations, which the error model may scale differently.

    Attributes
    ----------
    counts : (n,) Poisson noise of the reflection itself.
    background : (n,) everything else: noise of the background under it and of the background's own estimate.
    """

    counts: np.ndarray
    background: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """(n,) their sum."""
        return self.counts + self.background

    def select(self, rows: np.ndarray) -> Variances:
        """Those of some observations."""
        return Variances(self.counts[rows], self.background[rows])


def expected_variances(
    intensity: np.ndarray, variance: np.ndarray, count_factor: np.ndarray, expected: np.ndarray
) -> Variances:
    """Variances with the observation's own counts replaced by the expected ones.

    Parameters
    ----------
    count_factor : (n,) corrected intensity per count; a count adds its square to the variance. Detectors that do
        not count photons have smaller variances than that: then the ratio seen in strong reflections is used.
    """
    strong = intensity > _STRONG * np.sqrt(variance)
    ratio = variance[strong] / (count_factor[strong] * intensity[strong])
    per_intensity = count_factor * (min(float(np.median(ratio)), 1.0) if len(ratio) else 1.0)
    counts = per_intensity * np.maximum(expected, 0.0)
    background = np.maximum(variance - per_intensity * np.abs(intensity), 0.0)
    return Variances(counts, np.maximum(background, _LEAST_PART * variance - counts))
