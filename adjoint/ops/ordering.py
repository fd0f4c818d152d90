"""Sorting and positions by rank."""

__all__: list[str] = []
