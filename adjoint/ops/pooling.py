"""Pooling: means and maxima over windows."""

__all__: list[str] = []
