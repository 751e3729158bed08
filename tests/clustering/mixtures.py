"""Reflections of mixtures of crystals, made directly: what scaling would hand to the search for groups."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Mixture:
    """A condition.

    ``cc``: correlation of normalised true intensities of two species. ``covered``: share of the unique reflections a
    crystal observes. ``counts``: mean counts per reflection at low resolution. ``shared``: relative error that all
    crystals of one of ``mounts`` ways to mount share per reflection. ``own``: relative structural deviation of every
    crystal from its species, as 1 - cc. ``sigma_wrong``: factor by which sigmas are too small.
    """

    sizes: tuple[int, ...] = (10, 10, 10)
    cc: float = 0.985
    reflections: int = 4000
    covered: float = 0.25
    counts: float = 300.0
    background: float = 60.0
    systematic: float = 0.03
    shared: float = 0.0
    mounts: int = 2
    own: float = 0.0
    b_error: float = 2.0
    scale_error: float = 0.2
    sigma_wrong: float = 1.0
    weak: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()
    alien: tuple[int, ...] = ()
    half: tuple[int, ...] = ()
    known_resolution: bool = True
    centric: float = 0.1


@dataclass(frozen=True, eq=False)
class Made:
    arguments: dict = field(repr=False)
    truth: np.ndarray = None  # type: ignore[assignment]


def make(m: Mixture, seed: int) -> Made:
    """Arguments of ``find_groups``, and the species of each crystal (aliens -1), in random order."""
    rng = np.random.default_rng([seed, 77])
    n, h = sum(m.sizes), m.reflections
    s2 = np.sort(rng.uniform(0.02**1.5, 0.35**1.5, h)) ** (2 / 3)
    fall = np.exp(-15 * s2 / 2 * 1.0) * (1 + 0.5 * np.sin(20 * np.sqrt(s2)))
    centric = rng.random(h) < m.centric

    def e() -> np.ndarray:
        re, im = rng.standard_normal((2, h))
        return np.where(centric, re + 0j, (re + 1j * im) / np.sqrt(2))

    rho = m.cc**0.25
    common = e()
    species = [rho * common + np.sqrt(1 - rho**2) * e() for _ in m.sizes]
    truth = np.repeat(np.arange(len(m.sizes)), m.sizes)
    rng.shuffle(truth)
    mounts = rng.integers(0, m.mounts, n)
    shared = m.shared * rng.standard_normal((m.mounts, h))
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for i in range(n):
        E = species[truth[i]]
        if i in m.alien:
            E = rho * common + np.sqrt(1 - rho**2) * e()
        if m.own:
            r = (1 - m.own) ** 0.25
            E = r * E + np.sqrt(1 - r * r) * e()
        strength = m.counts * np.exp(rng.uniform(-0.5, 0.5)) * (0.02 if i in m.weak else 1.0)
        seen = np.flatnonzero(rng.random(h) < m.covered * rng.uniform(0.7, 1.3))
        I = np.abs(E[seen]) ** 2 * fall[seen]
        I = I * (1 + shared[mounts[i], seen])
        if i in m.damaged:
            dose = rng.random(len(seen))
            lost = 1 - (1 - 0.1) * dose * s2[seen] / s2.max()
            other = 0.25 * dose[:] * rng.standard_normal(len(seen))
            I = I * lost * np.clip(1 + other, 0, None)
        if i in m.half:
            bad = rng.random(len(seen)) < 0.5
            I = np.where(bad, I * rng.uniform(0.2, 1.0, len(seen)), I)
        mean = strength * I
        measured = mean * (1 + m.systematic * rng.standard_normal(len(seen)))
        counts = rng.poisson(np.maximum(measured, 0) + m.background) - m.background
        sigma = np.sqrt(np.maximum(counts, 0) + 2 * m.background * 0 + m.background + (m.systematic * mean) ** 2)
        factor = np.exp(rng.normal(0, m.scale_error) - rng.normal(0, m.b_error) * s2[seen] / 2) / m.counts
        if i in m.weak:
            factor = factor * 50
        columns[0].append(np.full(len(seen), i))
        columns[1].append(seen)
        columns[2].append(counts * factor)
        columns[3].append(sigma * factor / m.sigma_wrong)
    crystal, reflection, intensity, sigma = (np.concatenate(c) for c in columns)
    truth = truth.copy()
    truth[list(m.alien)] = -1
    arguments = dict(
        crystal=crystal.astype(np.int32), reflection=reflection.astype(np.int32), intensity=intensity, sigma=sigma,
        n_crystals=n, n_reflections=h, keys=rng.permutation(n).astype(np.int64) * 7919 + 13,
        d_star_sq=s2 if m.known_resolution else None,
    )  # fmt: skip
    return Made(arguments, truth)


def adjusted_rand_index(a: np.ndarray, b: np.ndarray) -> float:
    """Hubert & Arabie (1985); 1 for equal partitions (two all-in-one partitions are equal)."""
    _, ia = np.unique(a, return_inverse=True)
    _, ib = np.unique(b, return_inverse=True)
    table = np.zeros((ia.max() + 1, ib.max() + 1))
    np.add.at(table, (ia, ib), 1)

    def pairs(x: np.ndarray) -> float:
        return float((x * (x - 1) / 2).sum())

    both, rows, cols, total = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), len(a) * (len(a) - 1) / 2
    expected = rows * cols / total
    most = (rows + cols) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)
