"""The filters of detectors for HDF5, always those that hdf5plugin ships.

hdf5plugin leaves a filter alone that HDF5 finds by itself, through ``HDF5_PLUGIN_PATH``. DIALS' users have that set, to
filters built for another HDF5 library: data written through them fail. So the folders step aside while hdf5plugin
registers its own, and come back after for filters that it has not.
"""

from __future__ import annotations

import h5py

_folders = [h5py.h5pl.get(i) for i in range(h5py.h5pl.size())]
for _ in _folders:
    h5py.h5pl.remove(0)

import hdf5plugin  # noqa: E402  after the folders are out of the way

for _folder in _folders:
    h5py.h5pl.append(_folder)

FILTERS_FOLDER: str = hdf5plugin.PLUGIN_PATH
BITSHUFFLE_LZ4 = hdf5plugin.Bitshuffle(cname="lz4")
