"""Summaries as the steps leave them, made up: every fourth crystal fails somewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Summaries = dict[str, dict[str, Any]]


def _row(i: int, **values: Any) -> dict[str, Any]:
    return {"sweep": f"ins_c{i + 1:02d}", "identifier": f"id-{i}", "status": "ok", "reason": "", **values}


def _images(random: np.random.Generator, n: int, level: float) -> list[float]:
    return (level * (1 + 0.1 * np.cumsum(random.normal(0, 0.3, n)))).round(4).tolist()


def make_summaries(n: int = 6, images: int = 50, seed: int = 0) -> Summaries:
    """Summaries of all steps for n crystals: number 4 is blank, number 3 is weak and left out by cosym."""
    random = np.random.default_rng(seed)
    blank = {i for i in range(n) if i % 6 == 4}
    weak = {i for i in range(n) if i % 6 == 2}
    alive = [i for i in range(n) if i not in blank]
    rows: dict[str, list[dict[str, Any]]] = {
        step: [] for step in ("import", "find_spots", "index", "refine", "integrate")
    }
    for i in range(n):
        numbers = list(range(1, images + 1))
        rows["import"].append(_row(i, n_images=images, start=-74.6, width=0.1, wavelength=0.6199, distance=101.0))
        spots = [0.0] * images if i in blank else _images(random, images, 60)
        rows["find_spots"].append(
            _row(i, n_spots=int(sum(spots)), images=numbers, spots_per_image=spots, mean_background=0.4,
                 background_per_image=_images(random, images, 0.4), strong_pixels_per_image=spots)
        )  # fmt: skip
        if i in blank:
            rows["index"].append(_row(i, status="failed", reason="1 spot, fewer than 10: no lattice", n_spots=1))
    for i in alive:
        cell = [*random.normal(78, 0.05, 3).round(3), 90.0, 90.0, 90.0]
        deviations = {f"rmsd_{k}": v for k, v in zip("xyz", random.uniform(0.1, 0.3, 3), strict=True)}
        rows["index"].append(_row(i, n_spots=3000, n_indexed=int(random.integers(2700, 3000)), cell=cell, **deviations))
        along = {k: random.uniform(0.1, 0.2, images).tolist() for k in "xyz"}
        residuals = {"image": [float(k + 1) for k in range(images)], **along}
        rows["refine"].append(_row(i, n_reflections=2500, cell=cell, residuals=residuals, **deviations))
        curves = {
            "image": list(range(1, images + 1)), "n_reflections": _images(random, images, 180),
            "i_over_sigma": _images(random, images, 12), "background": _images(random, images, 0.4),
        }  # fmt: skip
        rows["integrate"].append(
            _row(i, sigma_b=0.025, sigma_m=float(random.uniform(0.04, 0.09)), n_reflections=9000, n_integrated_sum=8900,
                 n_integrated_prf=8500, mean_i_over_sigma_prf=9.0, mean_i_over_sigma_sum=8.0, per_image=curves)
        )  # fmt: skip
    rows["index"].sort(key=lambda r: int(r["identifier"][3:]))
    summaries: Summaries = {step: {"step": step, "rows": r} for step, r in rows.items()}
    cells = random.normal(0, 0.02, (2, 16, 16)).tolist()
    cells[0][0][0] = None
    summaries["refine"]["residuals"] = {"size": [1030, 1065], "x": cells[0], "y": cells[1]}
    summaries["cosym"] = _cosym(n, alive, weak, random)
    summaries["scale"] = _scale([i for i in alive if i not in weak], images, random)
    summaries["merge"] = {
        "step": "merge", "space_group": "I 2 3", "rows": [{"wavelength": 0.6199, "status": "ok", "reason": ""}],
        **{k: summaries["scale"][k] for k in ("shells", "overall", "table1")},
        **_assessment([f"ins_c{i + 1:02d}" for i in alive if i not in weak]),
    }  # fmt: skip
    return summaries


def _assessment(names: list[str]) -> dict[str, Any]:
    s, x = np.linspace(0.01, 0.4, 50), np.linspace(0, 1, 21)
    image = np.arange(1.0, 51.0)
    law = {"operator": "k,h,-l", "n_pairs": 900, "r_twin": 0.49, "alpha_h": 0.01, "alpha_britton": None}
    return {
        "delta_cchalf": {"crystals": names, "delta": [0.1] * len(names), "cc_half": 99.0},
        "wilson": {"b": 20.0, "b_esd": 0.3, "ln_k": -8.0, "d_star_sq": s.tolist(), "ln_ratio": (-8 - 10 * s).tolist()},
        "twinning": {"verdict": "The L-test shows no twinning.", "mean_abs_L": 0.5, "abs_L": x.tolist(),
                     "cumulative_L": x.tolist(), "laws": [law]},
        "damage": {"image": image.tolist(), "rcp": [0.05] * 50, "scp": [1.0] * 50, "rd": [0.05] * 50, "every": 1},
    }  # fmt: skip


def _cosym(n: int, alive: list[int], weak: set[int], random: np.random.Generator) -> dict[str, Any]:
    reason = "correlates with too few others"
    rows = [
        _row(i, status="skipped", reason=reason) if i in weak else _row(i, reindex="x,y,z", mean_cc=0.9) for i in alive
    ]
    groups = [
        {
            "patterson_group": "I m -3",
            "likelihood": 0.97,
            "confidence": 0.95,
            "z_cc_net": 9.7,
            "max_angular_difference": 0.1,
        },
        {
            "patterson_group": "I m -3 m",
            "likelihood": 0.02,
            "confidence": 0.0,
            "z_cc_net": 1.2,
            "max_angular_difference": 0.1,
        },
    ]
    first = random.normal((1, 0), 0.05, (len(alive), 2))
    return {
        "step": "cosym", "rows": rows, "space_group": "I 2 3", "groups": groups, "probability": 0.97,
        "rij_histogram": {"edges": np.linspace(-1, 1, 41).tolist(), "counts": random.integers(0, n * n, 40).tolist()},
        "functional": [100.0, 20.0, 19.0],
        "coordinates": {"crystals": [f"ins_c{i + 1:02d}" for i in alive], "settings": ["h,k,l", "k,h,-l"],
                        "points": [first.tolist(), first[:, ::-1].tolist()]},
    }  # fmt: skip


def _scale(kept: list[int], images: int, random: np.random.Generator) -> dict[str, Any]:
    s = np.linspace(0.1, 0.8, 21)
    d = 1 / s
    shells = {
        "d_max": d[:-1].tolist(), "d_min": d[1:].tolist(), "n_obs": [500] * 20, "n_unique": [200] * 20,
        "completeness": (98 - 60 * s[1:] ** 4).tolist(), "multiplicity": (3.5 - s[1:]).tolist(),
        "mean_I": np.exp(6 - 8 * s[1:]).tolist(), "I_over_sigma": np.exp(4 - 4 * s[1:]).tolist(),
        "Rmerge": (0.02 * np.exp(4 * s[1:])).tolist(), "Rmeas": (0.022 * np.exp(4 * s[1:])).tolist(),
        "Rpim": (0.01 * np.exp(4 * s[1:])).tolist(), "CC_half": [*np.tanh(2 / s[1:-1] - 1).tolist(), None],
        "CC_anom": random.normal(0, 0.1, 20).tolist(),
    }  # fmt: skip
    one = {k: v[0] for k, v in shells.items()}
    phi = np.linspace(0, 5, 51)
    variances = {"variance_before": 2.0, "variance_after": 1.0}
    bins = [{"I_max": 2000 / 2**k, "I_min": 1000 / 2**k, "n": 300, **variances} for k in range(8)]
    numbers = {"n_observations": 8000, "n_outliers": 40, "scale": 1.1, "B": -0.3, "I_over_sigma": 9.0, "Rmerge": 0.05}
    names = [f"ins_c{i + 1:02d}" for i in kept]
    return {
        "step": "scale", "n_observations": 41000, "n_outliers": 210, "shells": shells, "overall": one,
        "space_group": "I 2 3",
        "table1": {"overall": one, "low": one, "high": {k: v[-1] for k, v in shells.items()}},
        "error_model": {"a": 1.05, "b": 0.02, "ISa": 47.0, "bins": bins},
        "rows": [_row(i, **numbers) for i in kept],
        "curves": [{"sweep": name, "phi": phi.tolist(), "scale": (1 + 0.05 * random.normal(size=51)).tolist(),
                    "B": (-0.1 * phi).tolist()} for name in names],
        "images": [{"sweep": name, "image": list(range(1, images + 1)), "scale": _images(random, images, 1),
                    "I_over_sigma": _images(random, images, 9), "Rmerge": _images(random, images, 0.05)}
                   for name in names],
    }  # fmt: skip


@pytest.fixture
def summaries() -> Callable[..., Summaries]:
    """``summaries(n)``: all steps' summaries for n crystals."""
    return make_summaries
