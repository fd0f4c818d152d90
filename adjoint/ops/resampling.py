"""Resampling: upsampling, grids, and their adjoints."""

__all__: list[str] = []
