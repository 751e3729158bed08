"""Experiment and reflection lists: joined, cut, filtered, reindexed."""
