"""Where the direct beam meets the detector: from the spots, or from the images."""
