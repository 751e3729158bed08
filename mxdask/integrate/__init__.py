"""Integration: reflections predicted, measured by summation and by profile fitting, from one read of the images."""
