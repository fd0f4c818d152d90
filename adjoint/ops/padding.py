"""Padding and windows."""

__all__: list[str] = []
