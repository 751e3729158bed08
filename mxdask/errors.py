"""Errors a user can act on."""

from __future__ import annotations


class MxdaskError(Exception):
    """Something the user can put right: the message names the file or crystal, what is wrong and what to do.

    The command line prints the message alone (exit code 1); anything that is not an MxdaskError is a defect of
    ours and is shown with its type.
    """


class FileError(MxdaskError):
    """A file is missing, truncated, or not what it claims to be."""


class ParameterError(MxdaskError):
    """A parameter name or value is wrong (exit code 2)."""
