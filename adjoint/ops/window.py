"""Overlapping and strided views."""

__all__: list[str] = []
