"""Import: image files → experiments."""
