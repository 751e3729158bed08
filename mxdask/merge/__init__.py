"""Merging scaled intensities, amplitudes from them, and unmerged export."""
