"""Measurements: commands to run, not a part of the package."""
