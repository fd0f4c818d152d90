"""The function level: transforms of plain Python functions."""
