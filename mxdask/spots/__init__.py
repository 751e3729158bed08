"""Spot finding: strong pixels of every image, joined to spots across images."""
