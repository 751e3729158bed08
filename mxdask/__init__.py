"""mxdask: from diffraction images of many crystals to one set of intensities, on Dask."""

__version__ = "0.1.0"
