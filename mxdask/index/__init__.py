"""Indexing: from positions of spots to a lattice for every sweep."""
