"""Groups of crystals that are alike."""
