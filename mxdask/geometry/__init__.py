"""Geometry that several steps share: pixels ↔ reciprocal space, prediction, Kabsch's local frame."""
