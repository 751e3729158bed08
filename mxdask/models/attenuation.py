"""How strongly sensor materials absorb X-rays."""

from __future__ import annotations

import math

import numpy as np

from mxdask.errors import MxdaskError

KEV_ANGSTROM = 12.398419843320026  # h·c, CODATA 2018 (exact)

# Density (g/cm³), then photon energy (keV) and total mass attenuation coefficient μ/ρ (cm²/g), 1 to 150 keV:
# J. H. Hubbell & S. M. Seltzer, NIST Standard Reference Database 126 (NISTIR 5632), tables 3 (elements) and
# 4 (compounds). An absorption edge is one energy with two values, below and above.
_TABLES: dict[str, tuple[float, str]] = {
    "Si": (2.33, """
        1 1570  1.5 535.5  1.8389 309.2  1.8389 3192  2 2777  3 978.4  4 452.9  5 245  6 147  8 64.68  10 33.89
        15 10.34  20 4.464  30 1.436  40 0.7012  50 0.4385  60 0.3207  80 0.2228  100 0.1835  150 0.1448"""),
    "Ge": (5.323, """
        1 1893  1.10304 1502  1.2167 1190  1.2167 4389  1.23215 4734  1.2478 4974  1.2478 6698  1.32844 6348
        1.4143 5554  1.4143 6287  1.5 5475  2 2711  3 961.3  4 449.7  5 247.2  6 150.9  8 68.9  10 37.42
        11.1031 28.11  11.1031 198.1  15 91.52  20 42.22  30 13.85  40 6.207  50 3.335  60 2.023  80 0.9501
        100 0.555  150 0.2491"""),
    "GaAs": (5.32, """
        1 1917  1.05613 1685  1.1154 1481  1.1154 2772  1.12877 3180  1.1423 3532  1.1423 4372  1.21752 4130
        1.2977 3657  1.2977 4066  1.31034 3971  1.3231 3879  1.3231 5652  1.34073 5525  1.3586 5415  1.3586 6266
        1.5 5159  1.5265 4939  1.5265 5278  2 2731  3 970.2  4 453.9  5 249.5  6 152.4  8 69.6  10 37.8
        10.3671 34.25  10.3671 126  11.0916 105.9  11.8667 88.99  11.8667 168.5  15 92.2  20 42.58  30 13.97
        40 6.262  50 3.365  60 2.042  80 0.9587  100 0.5598  150 0.2509"""),
    "CdTe": (6.2, """
        1 7927  1.003 7875  1.006 7824  1.006 8014  1.5 3291  2 1664  3 614.6  3.537 406.4  3.537 778.7  3.631 730
        3.727 684  3.727 860.1  4 723  4.018 715.1  4.018 793.4  4.177 722.1  4.341 656.2  4.341 932.8
        4.475 873.9  4.612 813.5  4.612 943.8  4.773 870.2  4.939 799.9  4.939 865.3  5 839.2  6 528.6  8 249.2
        10 138.1  15 46.57  20 21.44  26.711 9.834  26.711 29.43  30 21.82  31.814 18.73  31.814 34.92  40 19.3
        50 10.67  60 6.542  80 3.019  100 1.671  150 0.6071"""),
}  # fmt: skip

_NAMES = {"silicon": "Si", "si": "Si", "cdte": "CdTe", "cadmium telluride": "CdTe", "cadmiumtelluride": "CdTe",
          "gaas": "GaAs", "gallium arsenide": "GaAs", "ge": "Ge", "germanium": "Ge"}  # fmt: skip


def material_symbol(name: str) -> str:
    """``Si``, ``CdTe`` … for the ways in which headers spell a sensor material; unknown names come back unchanged."""
    return _NAMES.get(name.strip().lower(), name.strip())


def attenuation_coefficient(material: str, wavelength: float) -> float:
    """Linear attenuation coefficient μ in mm⁻¹.

    Log–log interpolation of NIST's table, the usual way to read it between its points.

    Parameters
    ----------
    material : Si, Ge, GaAs, CdTe or their English names.
    wavelength : Å.

    Raises
    ------
    MxdaskError : unknown material, or an energy outside 1–150 keV.
    """
    symbol = material_symbol(material)
    if symbol not in _TABLES:
        raise MxdaskError(f"sensor material {material!r} is not known; give one of {', '.join(_TABLES)}")
    density, text = _TABLES[symbol]
    energies, values = np.array(text.split(), dtype=np.float64).reshape(-1, 2).T
    energy = KEV_ANGSTROM / wavelength
    if not energies[0] <= energy <= energies[-1]:
        raise MxdaskError(f"no attenuation coefficient of {symbol} at {wavelength} Å; 1 to 150 keV are known")
    above = min(max(int(np.searchsorted(energies, energy, side="right")), 1), len(energies) - 1)
    low, high = above - 1, above
    t = math.log(energy / energies[low]) / math.log(energies[high] / energies[low])
    mass_coefficient = math.exp((1 - t) * math.log(values[low]) + t * math.log(values[high]))
    return float(mass_coefficient * density / 10.0)
