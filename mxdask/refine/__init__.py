"""Refinement of beam, detector and crystals against the positions of indexed spots."""
