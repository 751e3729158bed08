"""Lattices: metric symmetry, Bravais settings, changes of basis."""
