"""Data reduction while data are collected: new sweeps are processed as they appear, results stay current."""
