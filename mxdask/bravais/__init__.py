"""Which lattice symmetry is right: Bravais settings, symmetry of indexed spots, orientations of crystals."""
