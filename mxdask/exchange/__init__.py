"""Reflections that other programs integrated, as experiments and tables of ours."""
