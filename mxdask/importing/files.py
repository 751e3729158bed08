"""Which files a user means: names, templates, folders."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mxdask.errors import FileError
from mxdask.importing.headers import is_image_name
from mxdask.io.templates import natural_key


def list_files(files: Iterable[str | Path], templates: Sequence[str], directories: Sequence[str]) -> list[str]:
    """Absolute paths, each once: the files in the order given, then those of templates and folders in natural order.

    Raises
    ------
    FileError : a template or folder matches nothing, or nothing was given at all.
    """
    found = [os.path.abspath(os.path.expanduser(str(f))) for f in files]
    for template in templates:
        found += _of_template(os.path.abspath(os.path.expanduser(template)))
    for directory in directories:
        found += _of_directory(os.path.abspath(os.path.expanduser(directory)))
    if not found:
        raise FileError("no images given: name image files, or use template= or directory=")
    return list(dict.fromkeys(found))


def _of_template(template: str) -> list[str]:
    if "#" not in template:
        return [template]
    escaped = glob.escape(template).replace("#", "[0-9]")
    matches = sorted(glob.glob(escaped), key=natural_key)
    if not matches:
        raise FileError(f"template={template}: no file has such a name (every # stands for one digit)")
    return matches


def _of_directory(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory), key=natural_key)
    except OSError as error:
        raise FileError(f"directory={directory}: cannot be listed ({error.strerror})") from error
    found = [os.path.join(directory, name) for name in names if is_image_name(name)]
    if not found:
        raise FileError(f"directory={directory}: no images in there (.cbf, .nxs, _master.h5, .zarr)")
    return found
