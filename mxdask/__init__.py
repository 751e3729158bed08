"""mxdask: from diffraction images of many crystals to one set of intensities, on Dask."""

import os

__version__ = "0.1.0"

# One thread per task: parallelism is Dask's alone. Linear algebra libraries that start teams of their own fight over
# the cores; they read these when numpy is first imported. Whoever wants otherwise sets them before.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
