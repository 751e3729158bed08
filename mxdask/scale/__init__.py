"""Scaling: one scale for all observations of all crystals."""
