"""Fitting beam, detector, goniometer and crystal to observed positions: the engine indexing and refinement share."""
