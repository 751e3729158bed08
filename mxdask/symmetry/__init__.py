"""symmetry: the Laue group and space group of one crystal, or of crystals already in one setting (Evans 2006, 2011)."""
