"""Intensities of reflections: corrected observations, symmetry equivalents, merging and its statistics."""
